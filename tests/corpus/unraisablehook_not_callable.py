import sys


class Falls:
    def __del__(self):
        raise ValueError("in del")


sys.unraisablehook = 5
falls = Falls()
