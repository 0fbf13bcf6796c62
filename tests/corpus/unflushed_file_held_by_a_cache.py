# files: out.txt
import functools


@functools.lru_cache()
def log(name):
    return open(name, "w")


class Writer:
    def __init__(self):
        self.file = log("out.txt")

    def __enter__(self):
        return self


Writer().file.write("cached")
