import sys

sys.stdout.read()
