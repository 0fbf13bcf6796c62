"""Fields of a format, which walk attributes, lead to `os`, which removes no file.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
seccomp: EPERM
all: EPERM
admin: ENOENT
admin@container: EACCES
"""

import random
import string

POLICY = True


def attack(target):
    os, _ = string.Formatter().get_field("0.__init__.__globals__[_os]", (random.Random,), {})
    os.unlink("%s/%d" % (target["removable"], 100 + os.getpid() % 100))
