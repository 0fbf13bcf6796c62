import sys

sys.excepthook = lambda *about: sys.exit(4)
raise KeyboardInterrupt
