count: int = 1
name: "str"
print(__annotations__)


def function(a: int, *b: "list", c: float = 1.0) -> None:
    pass


print(function.__annotations__)
