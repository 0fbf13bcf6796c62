"""A run keeps no page of a file past its end by a byte of it in a pipe, which counts as one byte.

danger: exhaust memory, CPU, disk or descriptors
control: ok
seccomp: ENOTSOCK
all: ENOTSOCK
admin: ENOSYS
"""

import os


def attack(target):
    fd = os.open("own", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"x" * 65536)
    reader, writer = os.pipe()
    for place in range(4095, 7 * 4096, 4096):  # a pipe takes sixteen pages
        os.sendfile(writer, fd, place, 2)
    os.ftruncate(fd, 0)
    assert os.read(reader, 100) == b"x" * 14, "the pipe did not keep what the file lost"
