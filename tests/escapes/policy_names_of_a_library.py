"""Code that a script executes in the name of a library imports `os` and changes no root.

danger: gain privilege
public: yes
control: ok
control@user: EPERM
namespaces@user: ok
identity: EPERM
seccomp: EPERM
all: EPERM
"""

import json

POLICY = True


def attack(target):
    names = {}
    # A function that uses a library's names counts as the library's.
    exec("def imports():\n    import os\n    return os\n", vars(json), names)
    names["imports"]().chroot(".")
