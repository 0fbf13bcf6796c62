"""A run watches no file for what others do with it.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("inotify_init1", 0)
