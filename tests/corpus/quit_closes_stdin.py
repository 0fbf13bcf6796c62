# stdin: "x\n"
import sys

try:
    quit()
except SystemExit:
    print(sys.stdin.closed)
print(repr(exit), repr(quit))
