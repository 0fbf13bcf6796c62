import sys


class Noisy:
    def __del__(self, show=print):
        show("del")


noisy = Noisy()
del sys.modules["__main__"]
print(__name__)
