# admin
# files: v.bin
import os

fd = os.open("v.bin", os.O_RDWR | os.O_CREAT, 0o600)
first, second = bytearray(3), bytearray(4)
print(os.pwritev(fd, [b"abc", b"defgh"], 2), os.preadv(fd, [first, second], 3), first, second)
print(os.readv(fd, [first]), os.writev(fd, [b"xy", b"z"]))
print(os.getpgid(0) == os.getpgrp() > 0)
