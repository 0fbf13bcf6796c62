# python: 3.10
def describe(value):
    match value:
        case {"kind": "point", "at": (x, y)} if x == y:
            return f"diagonal {x}"
        case [first, *rest]:
            return f"list {first} {rest}"
        case str() | bytes():
            return "text"
        case _:
            return "other"


for value in ({"kind": "point", "at": (1, 1)}, [1, 2, 3], "x", b"", 5):
    print(describe(value))
