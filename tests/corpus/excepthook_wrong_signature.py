import sys

sys.excepthook = lambda: None
1 / 0
