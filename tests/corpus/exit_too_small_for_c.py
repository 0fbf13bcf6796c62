import sys

sys.unraisablehook = lambda about: None  # Python 3.13.0 wrongly reports the error besides

sys.exit(-(2**64))
