class Noisy:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("del", self.name)


def fail():
    local = Noisy("local")
    raise ValueError("with a local")


top = Noisy("global")
fail()
