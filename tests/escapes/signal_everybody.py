"""A run signals not everybody at once.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
admin: ESRCH
admin@container: ok
admin@container-user: EPERM
admin@container-user from ABI 6: ok
bare: EPERM
bare from ABI 6: ok
contained: the signal reaches the run's own processes only
"""


def attack(target):
    target["call"]("kill", -1, 0)
