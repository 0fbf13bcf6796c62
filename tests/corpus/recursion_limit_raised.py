import sys

print(sys.getrecursionlimit())
sys.setrecursionlimit(5000)
print(sys.getrecursionlimit())


def depth(number):
    return depth(number - 1) + 1 if number else 0


print(depth(4900))
try:
    depth(6000)
except RecursionError:
    print("too deep")
