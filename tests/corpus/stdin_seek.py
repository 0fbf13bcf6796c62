# stdin: "abcdef"
import sys

print(sys.stdin.read(2), sys.stdin.seek(0), sys.stdin.read())
