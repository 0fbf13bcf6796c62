# python: 3.10
import sys

del sys.stderr
raise ValueError("lost")
