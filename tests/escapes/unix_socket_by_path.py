"""A run reaches no Unix socket of the host by its path.

danger: reach a network
control: ok
namespaces: ENOENT
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 1, 1, 0)
    address = struct.pack("=H", 1) + target["socket_path"].encode() + b"\0"
    call("connect", fd, ctypes.c_char_p(address), len(address))
