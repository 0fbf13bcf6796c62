"""A run lets nobody trace it.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("ptrace", 0, 0, 0, 0)
