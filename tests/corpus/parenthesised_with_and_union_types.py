# python: 3.10
import contextlib

with (
    contextlib.suppress(ValueError),
    contextlib.nullcontext(5) as five,
):
    print(five, int | None, isinstance(5, int | str))
print(list[int], dict[str, list[int]], {"a": 1} | {"b": 2}, "prefix_x".removeprefix("prefix_"))
