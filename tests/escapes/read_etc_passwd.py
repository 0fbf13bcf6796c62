"""A run reads no configuration of the host; what its tree has at such a place was made for it.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import errno


def attack(target):
    with open("/etc/passwd") as file:
        if {line.partition(":")[0] for line in file} <= {"root", "runner"}:
            raise FileNotFoundError(errno.ENOENT, "no user of the host's stands there")
