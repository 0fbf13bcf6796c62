"""A run traces no process outside.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity@root: EPERM
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17


def attack(target):
    target["call"]("ptrace", PTRACE_SEIZE, target["victim"], 0, 0)
