class Noisy:
    def __init__(self, name):
        self.name = name

    def __del__(self, show=print):
        show("del", self.name)


class Holder:
    pass


def make():
    a, b, c = Noisy("a"), Noisy("b"), Noisy("c")
    items = [a, b, c]

    def write(text, kept=items):
        return a

    return write


write = make()
holder = Holder()
holder.a, holder.b, holder.me = Noisy("garbage a"), Noisy("garbage b"), holder
del holder
top = Noisy("top")
_under = Noisy("under")
