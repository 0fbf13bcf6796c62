"""A run does not make its memory readable to others of its uid.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("prctl", 4, 1, 0, 0, 0)
