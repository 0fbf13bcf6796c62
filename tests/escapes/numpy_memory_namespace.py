"""A run that corrupts memory with numpy until it runs machine code makes no user namespace.

danger: gain privilege
machine: x86_64
public: yes
control: ok
control@container: EPERM
seccomp: EPERM
all: EPERM
"""

from corruption import system_call


def attack(target):
    system_call(272, [0x10000000], target["word_fd"])
