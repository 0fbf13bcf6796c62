"""A run does not learn the session of another process.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("getsid", target["victim"])
