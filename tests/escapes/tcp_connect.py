"""A run connects to no TCP port, not even on the loopback.

danger: reach a network
control: ok
namespaces: ENETUNREACH
landlock from ABI 4: EACCES
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 2, 1, 0)
    address = struct.pack("!2xH4s8x", target["tcp_port"], b"\x7f\0\0\1")
    address = struct.pack("=H", 2) + address[2:]
    call("connect", fd, ctypes.c_char_p(address), 16)
