import atexit
import sys

atexit.register(lambda: print("exc_info at exit", sys.exc_info(), hasattr(sys, "last_value")))
1 / 0
