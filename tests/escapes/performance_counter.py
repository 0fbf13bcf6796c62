"""A run opens no performance counter.

danger: attack the kernel
control: ok
absent: EACCES
control@container: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    target["call"](
        "perf_event_open",
        ctypes.create_string_buffer(struct.pack("=IIQ", 1, 128, 0) + bytes(24) + struct.pack("=Q", 0x60), 128),
        0,
        -1,
        -1,
        0,
    )
