import collections.abc
import json as j, math as m
from collections import *
from math import pi as π, floor

print(collections.abc.Sized.__name__, j.dumps([1]), m.sqrt(4), π, floor(2.5), OrderedDict(a=1), Counter("aab"))
print(__import__("math").pi == π, __import__("collections.abc").__name__)
