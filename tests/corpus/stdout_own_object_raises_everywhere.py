import sys


class Odd:
    def __getattr__(self, name):
        raise SystemExit(3)


sys.stdout = Odd()
