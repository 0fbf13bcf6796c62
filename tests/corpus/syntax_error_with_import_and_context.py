import math


def function():
    value = math.floor(1.5
    return value
