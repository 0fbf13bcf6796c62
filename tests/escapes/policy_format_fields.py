"""Fields of a format, which walk attributes, lead to `os`, which makes no file elsewhere.

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
    os, _ = string.Formatter().get_field("0.__init__.__globals__[_os]", (random.Random,), {})
    name = "%s/made-by-format-%d" % (target["open_directory"], os.getpid())
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
