# In which order they run is not for the language to say; so they all say the same.
import functools


class Noisy:
    held = []

    def __init__(self, name):
        self.name = name

    def __del__(self, show=print):
        show("one of those finalised is a", type(self.name).__name__)


def function(default=Noisy("default")):
    pass


function.attribute = Noisy("attribute")
Noisy.held.append(Noisy("class"))
partial = functools.partial(print, Noisy("partial"))
method = Noisy("method").__init__
pair = {"key": Noisy("dict")}, [Noisy("list")]
