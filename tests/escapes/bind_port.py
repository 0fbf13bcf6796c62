"""A run listens on no port.

danger: reach a network
control: ok
landlock from ABI 4: EACCES
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 2, 1, 0)
    call("bind", fd, ctypes.c_char_p(struct.pack("=H", 2) + b"\0\0\x7f\0\0\1" + bytes(8)), 16)
