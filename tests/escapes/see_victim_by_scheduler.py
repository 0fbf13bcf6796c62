"""A run learns by no scheduling policy that another process exists.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("sched_getscheduler", target["victim"])
