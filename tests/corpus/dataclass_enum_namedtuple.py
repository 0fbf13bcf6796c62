import collections
import dataclasses
import enum
import typing


@dataclasses.dataclass(order=True, frozen=True)
class Point:
    x: int
    y: int = 0
    tags: list = dataclasses.field(default_factory=list, compare=False)


class Colour(enum.Enum):
    RED = enum.auto()
    GREEN = "g"


class Bits(enum.Flag):
    A = 1
    B = 2


class Typed(typing.NamedTuple):
    name: str
    size: int = 3


Plain = collections.namedtuple("Plain", "a b", defaults=[9])
print(Point(1), Point(1, 2) > Point(1, 1), dataclasses.asdict(Point(3)), dataclasses.replace(Point(1), y=7))
print(Colour.RED.name, Colour("g"), Colour["RED"].value, (Bits.A | Bits.B).value, list(Colour)[1].name)
print(Typed("n"), Plain(1), Plain(1)._asdict(), Typed.__annotations__)
try:
    Point(1).x = 5
except dataclasses.FrozenInstanceError as error:
    print(type(error).__name__, error)
