x = "global"


def outer():
    x = "outer"

    def inner():
        nonlocal x
        x = "changed"
        return x

    return inner(), x


class Body:
    x = "class"
    y = [x for _ in range(1)]


print(outer(), Body.y, x)
exec("x = 'by exec'")
print(x, eval("x.upper()", {"x": "own"}))
for x in range(2):
    pass
print(x, [x for x in "ab"], x)
