"""A run does not take back that it dies with its parent.

danger: outlive the run or bomb with processes
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("prctl", 1, 0, 0, 0, 0)
