import atexit


def fails():
    raise ValueError("at exit")


atexit.register(print, "still runs")
atexit.register(fails)
