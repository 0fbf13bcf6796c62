import pickle


class Point:
    def __init__(self, x):
        self.x = x


def function():
    return "by reference"


data = pickle.dumps([Point(1), function, {"a": (1, 2)}], protocol=4)
points, loaded, rest = pickle.loads(data)
print(points.x, loaded(), rest, pickle.loads(pickle.dumps(Point)) is Point)
pickle.dumps(lambda: None)
