import sys

sys.excepthook = lambda *about: print("never")
sys.exit(2)
