import sys


def hook(about):
    print("unraisable", about.exc_type.__name__, about.exc_value, about.err_msg)


class Falls:
    def __del__(self):
        raise ValueError("in del")


sys.unraisablehook = hook
Falls()
print("goes on")
