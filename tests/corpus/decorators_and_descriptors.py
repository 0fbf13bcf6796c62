import functools


class Cached:
    def __init__(self, function):
        self.function = function

    def __set_name__(self, owner, name):
        print("set name", owner.__name__, name)

    def __get__(self, instance, owner):
        return self if instance is None else self.function(instance)


class Shape:
    def __init_subclass__(cls, sides=0):
        cls.sides = sides

    @Cached
    def area(self):
        return 42

    @property
    def name(self):
        return type(self).__name__

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def helper():
        return "static"


class Square(Shape, sides=4):
    pass


@functools.lru_cache(maxsize=None)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


print(Square().area, Square.make().name, Square.sides, Shape.helper(), fibonacci(90), fibonacci.cache_info())
