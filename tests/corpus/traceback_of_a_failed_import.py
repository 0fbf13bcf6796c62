import traceback

try:
    import numpy.nonexistent
except ImportError as error:
    print(type(error).__name__, error, error.name)
    traceback.print_exc()
    print(len(traceback.extract_tb(error.__traceback__)))
