import sys


class Thing:
    def __str__(self):
        return "the thing"


sys.exit(Thing())
