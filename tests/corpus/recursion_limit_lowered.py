import sys

sys.setrecursionlimit(60)


def dive(number):
    global deepest
    deepest = number
    dive(number + 1)


try:
    dive(1)
except RecursionError:
    pass
print(deepest, sys.getrecursionlimit())
raise ValueError("with little room")
