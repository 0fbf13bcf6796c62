import sys
import traceback


def hook(kind, value, trace):
    traceback.print_exception(kind, value, trace)
    traceback.print_exc()
    traceback.print_stack()


def fail():
    raise ValueError("deep")


sys.excepthook = hook
fail()
