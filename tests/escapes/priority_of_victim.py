"""A run changes no other process's priority.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("setpriority", 0, target["victim"], 0)
