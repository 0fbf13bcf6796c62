def dive(depth):
    return 1 + dive(depth + 1)


dive(0)
