import atexit
import sys
import traceback


def names():
    return [entry.name for entry in traceback.extract_stack()], sys._getframe(2) if False else None


def back():
    frame, found = sys._getframe(1), []
    while frame is not None:
        found.append(frame.f_code.co_name)
        frame = frame.f_back
    return found


@atexit.register
def at_the_end():
    print("atexit", names()[0][:-1], back())


def hook(kind, value, trace):
    print("excepthook", kind.__name__, names()[0][:-1], back())


sys.excepthook = hook
1 / 0
