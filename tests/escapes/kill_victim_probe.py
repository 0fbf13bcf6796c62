"""A run signals no process outside.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity@root: EPERM
landlock from ABI 6: EPERM
seccomp: EPERM
all: EPERM
admin: ESRCH
admin@container: EPERM
why: the filter lets admin scripts signal; the pid namespace holds nobody else
"""


def attack(target):
    target["call"]("kill", target["victim"], 0)
