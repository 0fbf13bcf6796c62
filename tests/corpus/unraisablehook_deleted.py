import sys

del sys.unraisablehook
del sys.__excepthook__
raise ValueError("shown all the same")
