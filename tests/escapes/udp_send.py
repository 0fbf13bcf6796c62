"""A run sends no UDP packet.

danger: reach a network
control: ok
namespaces: ENETUNREACH
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 2, 2, 0)
    address = struct.pack("=H", 2) + struct.pack("!H4s8x", target["udp_port"], b"\x7f\0\0\1")
    call("sendto", fd, ctypes.c_char_p(b"x"), 1, 0, ctypes.c_char_p(address), 16)
