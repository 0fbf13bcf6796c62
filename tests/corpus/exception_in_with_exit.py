class Manager:
    def __enter__(self):
        return self

    def __exit__(self, *about):
        print("leaving", about[0].__name__)
        raise KeyError("from exit")


with Manager():
    raise ValueError("from the body")
