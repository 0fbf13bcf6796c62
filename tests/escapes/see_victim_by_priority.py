"""A run learns by no priority that another process exists.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("getpriority", 0, target["victim"])
