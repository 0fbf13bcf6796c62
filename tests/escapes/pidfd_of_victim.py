"""A run gets no descriptor of another process.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("pidfd_open", target["victim"], 0)
