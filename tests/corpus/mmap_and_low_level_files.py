# admin
# files: low.bin
import mmap
import os

fd = os.open("low.bin", os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, b"hello world")
with mmap.mmap(fd, 0) as view:
    view[0:5] = b"HELLO"
print(os.lseek(fd, 0, os.SEEK_SET), os.read(fd, 5), os.pread(fd, 3, 6), oct(os.fstat(fd).st_mode))
os.close(fd)
os.read(fd, 1)
