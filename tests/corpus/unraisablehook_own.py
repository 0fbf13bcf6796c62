import sys


def hook(about):
    print("unraisable", about.exc_type.__name__, about.exc_value, str(about.err_msg).partition(" at 0x")[0])


class Falls:
    def __del__(self):
        raise ValueError("in del")


sys.unraisablehook = hook
Falls()
print("goes on")
