import typing
from typing import Any, Callable, Dict, Generic, List, Optional, Protocol, Tuple, TypeVar, Union

T = TypeVar("T")


class Stack(Generic[T]):
    def __init__(self) -> None:
        self.items: List[T] = []

    def push(self, item: T) -> None:
        self.items.append(item)


class Sized(Protocol):
    def __len__(self) -> int: ...


def function(a: Optional[int], b: "Union[str, int]", c: Callable[..., Any]) -> Dict[str, Tuple[int, ...]]:
    return {}


stack = Stack[int]()
stack.push(1)
print(stack.items, typing.get_type_hints(function), Stack[int], T, typing.cast(int, "x"))


class Movie(typing.TypedDict):
    title: str
    year: int


print(Movie(title="x", year=1), Movie.__annotations__)
