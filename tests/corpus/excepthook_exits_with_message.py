import sys

sys.excepthook = lambda *about: sys.exit("message from the hook")
1 / 0
