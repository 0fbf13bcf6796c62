def function(a, /, b, *, c=3):
    return a, b, c


while (line := next(iter(["x"]))) != "x" or not line:
    pass
print(line, [y := 5, y**2], function(1, b=2))
print(f"{line=} {y!r:>5} {y:{10}.{3}f}")
