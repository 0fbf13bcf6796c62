"""A run reads no kernel log.

danger: learn secrets of the server
control: ok
control@user: EPERM
control@container: EPERM
identity: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("syslog", 10, None, 0)
