import atexit
import sys

atexit.register(print, "after the exit")
atexit.register(sys.exit, 5)
