import math as m, json
from collections import (
    OrderedDict as Ordered,
    deque,
)


class Holder:
    import string

    letters = string.ascii_lowercase[:3]


def inner():
    from itertools import count

    return next(count(5))


exec("import random; value = random.Random(1).random()")
print(m.floor(2.5), json.dumps([1]), Ordered(a=1)["a"], deque([1]), Holder.letters, inner(), value > 0)
print(__import__("xml.dom").__name__, __import__("xml.dom", fromlist=["x"]).__name__, eval("__import__('math').pi > 3"))
names = {}
exec("from string import *", names)
print("digits" in names, "__builtins__" in names)
import datetime.timezone
