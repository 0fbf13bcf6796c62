# admin
import faulthandler
import sys


def inner():
    faulthandler.dump_traceback(sys.stderr)


def outer():
    inner()


sys.stderr.flush()
outer()
print("done")
