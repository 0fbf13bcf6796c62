"""A run signals no thread by its number alone.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
landlock from ABI 6: EPERM
seccomp: EPERM
all: EPERM
admin: ESRCH
admin@container: EPERM
"""


def attack(target):
    target["call"]("tkill", target["victim"], 0)
