import sys

value = 5
main = sys.modules["__main__"]
print(main.__name__, main.value, main.__dict__ is globals(), repr(main).startswith("<module '__main__'"))
