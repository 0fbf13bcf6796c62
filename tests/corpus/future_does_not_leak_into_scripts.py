def function(a: 1 + 1):
    pass


print(function.__annotations__, compile("1", "x", "eval").co_flags & 0x1FF0000)
