import atexit


def gone():
    print("never")


def late():
    atexit.register(print, "late")
    print("adding")


atexit.register(gone)
atexit.register(late)
atexit.unregister(gone)
