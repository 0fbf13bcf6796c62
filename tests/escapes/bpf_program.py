"""A run loads no BPF program.

danger: attack the kernel
control: ok
control@user: EPERM
control@container: EPERM
identity: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct

PROGRAM = ctypes.create_string_buffer(b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0", 16)
LICENSE = ctypes.create_string_buffer(b"GPL")


def attack(target):
    target["call"](
        "bpf",
        5,
        ctypes.create_string_buffer(
            struct.pack("=IIQQ", 1, 2, ctypes.addressof(PROGRAM), ctypes.addressof(LICENSE)), 128
        ),
        128,
    )
