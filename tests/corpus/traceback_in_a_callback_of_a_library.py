import functools
import re
import sys
import traceback


def show(match):
    traceback.print_stack(limit=3)
    try:
        return 1 / 0
    except ZeroDivisionError:
        traceback.print_exc()
    return "x"


print(re.sub("a", show, "banana", count=1))
