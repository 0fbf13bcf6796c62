print(sorted([3, "x", 1], key=lambda item: item + 0))
