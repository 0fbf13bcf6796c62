import sys

sys.excepthook = lambda *about: print("never")
x =
