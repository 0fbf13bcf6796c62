"""A run changes no other process's priority of input and output.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("ioprio_set", 1, target["victim"], (2 << 13) | 4)
