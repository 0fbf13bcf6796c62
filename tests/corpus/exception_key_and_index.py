try:
    [][3]
except IndexError as error:
    print(type(error).__name__, error, repr(error))
{"a": 1}["b"]
