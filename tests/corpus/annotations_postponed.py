from __future__ import annotations

import typing

value: undefined = 1  # noqa: F821


def function(a: NotThere) -> int:  # noqa: F821
    pass


print(__annotations__, function.__annotations__)
print(typing.get_type_hints(lambda: None))
