# stdin: "dos\r\nmac\runix\n"
import sys

print(repr(input()))
print(repr(sys.stdin.read()))
