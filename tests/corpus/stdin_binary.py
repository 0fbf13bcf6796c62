# stdin: b"\x00\xff\r\n\xfe"
import sys

print(sys.stdin.buffer.readline(), sys.stdin.buffer.read(), sys.stdin.buffer.read())
