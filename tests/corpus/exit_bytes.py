import sys

sys.exit(b"raw")
