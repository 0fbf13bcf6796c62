import atexit


@atexit.register
def first():
    print("registered first, runs last")


atexit.register(print, "with arguments", sep="|", end="!\n")
atexit.register(lambda: print("registered last, runs first"))
print("end of script")
