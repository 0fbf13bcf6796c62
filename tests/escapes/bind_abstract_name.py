"""A run leaves no name that another run could find it by.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes
import os
import struct


def attack(target):
    call = target["call"]
    fd = call("socket", 1, 1, 0)
    address = struct.pack("=H", 1) + b"\0here-%d" % os.getpid()
    call("bind", fd, ctypes.create_string_buffer(address, len(address)), len(address))
