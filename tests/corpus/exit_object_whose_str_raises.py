import sys

sys.unraisablehook = lambda about: None  # Python 3.13.0 wrongly reports the error besides


class Thing:
    def __str__(self):
        raise ValueError("no text")


sys.exit(Thing())
