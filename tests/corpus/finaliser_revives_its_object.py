saved = []


class Noisy:
    count = 0

    def __init__(self, name):
        self.name = name

    def __del__(self):
        print("del", self.name, len(saved))
        if Noisy.count < 2:
            Noisy.count += 1
            saved.append(self)


one = Noisy("one")
