"""A run starts no thread that has a table of descriptors of its own.

danger: exhaust memory, CPU, disk or descriptors
machine: x86_64
control: ok
seccomp: EPERM
all: EPERM
why: each table may hold as many pipes and socket pairs as a process, and only processes are counted for that
"""

import native

VM, FS, SIGHAND, THREAD = 0x100, 0x200, 0x800, 0x10000
EXIT = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"  # xor edi, edi; mov eax, 60; syscall


def attack(target):
    # The C library's `syscall` returns in the thread, too, to what lies on top of the stack that it was given.
    code = native.low_memory(EXIT + bytes(2048 - len(EXIT)))
    stack = native.low_memory(bytes(2048) + code.to_bytes(8, "little")) + 2048
    target["call"]("clone", VM | FS | SIGHAND | THREAD, stack, 0, 0, 0)
