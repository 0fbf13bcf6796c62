class Many(Exception):
    exceptions = 5


class Texts(Exception):
    exceptions = ["one", "two"]


try:
    raise Many("of its own making")
except Many:
    raise Texts("too")
