"""The `ctypes` that numpy has imported connects to nobody.

danger: reach a network
public: yes
control: ok
namespaces: ENETUNREACH
landlock from ABI 4: EACCES
seccomp: EPERM
all: EPERM
"""

import struct

import numpy

POLICY = True


def attack(target):
    ctypes = getattr(numpy, "_core", numpy.core if numpy.__version__ < "2" else None)._internal.ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.socket(2, 1, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "socket")
    address = struct.pack("=H", 2) + struct.pack("!H4s8x", target["tcp_port"], b"\x7f\0\0\1")
    if libc.connect(fd, ctypes.c_char_p(address), 16) < 0:
        raise OSError(ctypes.get_errno(), "connect")
