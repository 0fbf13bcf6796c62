"""A public run starts no process that borrows its memory.

danger: outlive the run or bomb with processes
machine: x86_64
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: at most as many as the budget says, all killed with the run
why: a thread and such a process differ in nothing but flags of clone
"""

import os

import native

VM, VFORK, SIGCHLD = 0x100, 0x4000, 17
EXIT = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"  # xor edi, edi; mov eax, 60; syscall


def attack(target):
    # The C library's `syscall` returns in the process, too, to what lies on top of the stack that it was given.
    code = native.low_memory(EXIT + bytes(2048 - len(EXIT)))
    stack = native.low_memory(bytes(2048) + code.to_bytes(8, "little")) + 2048
    os.waitpid(target["call"]("clone", VM | VFORK | SIGCHLD, stack, 0, 0, 0), 0)
