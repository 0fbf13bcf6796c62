import sys


def hook(kind, value, trace):
    raise RuntimeError("the hook fails")


sys.excepthook = hook
1 / 0
