"""A run signals no thread of another process.

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
    target["call"]("tgkill", target["victim"], target["victim"], 0)
