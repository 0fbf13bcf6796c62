class Weird:
    def __repr__(self):
        raise LookupError("no repr")


print(Weird())
