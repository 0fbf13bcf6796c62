# stdin: "1 2\n3 4 5\n"
import sys

print("first")
print(sum(int(x) for line in open("/dev/stdin") for x in line.split()))
with open("/dev/stdout", "w") as out:
    print("second", file=out)
with open("/dev/stderr", "w") as err:
    err.write("an error\n")
print("third", repr(sys.stdin.read()))
