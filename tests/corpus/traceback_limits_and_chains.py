import sys
import traceback


def level(n):
    if n:
        return level(n - 1)
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ValueError("second") from error


try:
    level(3)
except ValueError as error:
    print(traceback.format_exception_only(type(error), error))
    print([entry.lineno for entry in traceback.extract_tb(error.__traceback__, limit=2)])
    print(len(traceback.TracebackException.from_exception(error, limit=-1).stack))
    traceback.print_exception(type(error), error, error.__traceback__, limit=1)
sys.tracebacklimit = 2
level(3)
