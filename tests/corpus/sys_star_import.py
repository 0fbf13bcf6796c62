# stdin: "abc\n"
from sys import *

setrecursionlimit(5000)
print(stdin.readline().strip().upper(), version_info >= (3, 8), argv, _getframe if "_getframe" in globals() else None)
print(getrecursionlimit(), isinstance(prefix, str), maxsize > 2**31, byteorder)
stdout.write("written\n")
