def function():
    from math import *
