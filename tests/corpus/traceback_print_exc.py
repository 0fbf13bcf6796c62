import sys
import traceback


def fail():
    raise ValueError("shown by the script")


try:
    fail()
except ValueError:
    traceback.print_exc()
    print(traceback.format_exc(), file=sys.stderr)
