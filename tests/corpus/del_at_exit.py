class Noisy:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("del", self.name)


one = Noisy("one")
two = Noisy("two")
holder = [Noisy("in a list")]
print("end")
