import sys
import traceback


def inner():
    traceback.print_stack()
    traceback.print_stack(file=sys.stderr, limit=1)
    print(len(traceback.extract_stack()), [entry.name for entry in traceback.extract_stack()])
    print(len(traceback.format_stack()), len(list(traceback.walk_stack(None))))


def outer():
    inner()


outer()
traceback.print_stack()
print(len(traceback.extract_stack(limit=-3)), traceback.extract_stack()[0].name)
