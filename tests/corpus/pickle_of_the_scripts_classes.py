import copyreg
import pickle
from collections import namedtuple
from dataclasses import dataclass
from enum import Enum


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    colour: Colour = Colour.RED

    def method(self):
        return self.x


Pair = namedtuple("Pair", "a b")
things = [Point(3), Pair(1, [2]), Colour.RED, Point.method, {"a": {1, 2}}, len]
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    print(protocol, pickle.loads(pickle.dumps(things[:3], protocol)))
print(pickle.loads(pickle.dumps(Point.method))(Point(9)), pickle.loads(pickle.dumps(len))([1]))
print(pickle._loads(pickle._dumps(things[0])))
copyreg.pickle(Point, lambda point: (Point, (point.x + 1,)))
print(pickle.loads(pickle.dumps(Point(1))))
try:
    pickle.dumps(lambda: 0)
except (pickle.PicklingError, AttributeError) as error:
    print(type(error).__name__)
