"""Docstring."""
print()
print("a", 1, 2.5, None, True, [1, "x"], {"k": (1,)}, sep=", ")
print("no newline", end="")
print(" | next", end=" END\n")
print("flushed", flush=True)
print(*range(5), sep="")
print("%s and %r and %05.1f" % ("x", "y", 3.14159), "{:>8}|{:<8}|{:^8}".format("r", "l", "c"), f"{1+1=}")
print(b"bytes", bytearray(b"x"), complex(1, -2), range(3), 1e300 * 10, -0.0, 10**30)
