import sys

try:
    sys.exit(3)
except:  # noqa: E722
    print("caught", sys.exc_info()[1].code)
print("goes on")
