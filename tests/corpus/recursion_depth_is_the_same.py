def dive(depth):
    global deepest
    deepest = depth
    dive(depth + 1)


try:
    dive(1)
except RecursionError as error:
    print(deepest, error)
