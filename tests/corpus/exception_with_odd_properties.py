class Odd(Exception):
    @property
    def args(self):
        raise ValueError("no args")


raise Odd("text")
