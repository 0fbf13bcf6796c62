# admin
import os

read, write = os.pipe()
if os.fork() == 0:
    os.close(read)
    os.write(write, b"through the pipe")
    os.close(write)
    os._exit(0)
os.close(write)
print(os.fdopen(read).read())
