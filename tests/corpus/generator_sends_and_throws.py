def accumulate():
    total = 0
    while True:
        try:
            total += yield total
        except ValueError as error:
            print("got", error)
            return total


def delegate():
    result = yield from accumulate()
    print("result", result)


g = delegate()
print(next(g), g.send(5), g.send(6))
try:
    g.throw(ValueError("enough"))
except StopIteration:
    print("stopped")
