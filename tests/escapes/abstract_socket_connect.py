"""A run reaches no abstract Unix socket of the host.

danger: reach a network
control: ok
namespaces: ECONNREFUSED
landlock from ABI 6: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 1, 1, 0)
    name = b"\0" + target["abstract"].encode()
    address = ctypes.create_string_buffer(struct.pack("=H", 1) + name, 2 + len(name))
    call("connect", fd, address, 2 + len(name))
