import sys

for value in (0, -5, "x", 2**40):
    try:
        sys.setrecursionlimit(value)
    except (ValueError, TypeError, OverflowError) as error:
        print(type(error).__name__)
sys.setrecursionlimit(-1)
