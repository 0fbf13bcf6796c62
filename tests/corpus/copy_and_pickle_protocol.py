import copy


class Node:
    def __init__(self, value):
        self.value = value
        self.links = [self]

    def __reduce_ex__(self, protocol):
        print("reduce", protocol)
        return super().__reduce_ex__(protocol)


class Slotted:
    __slots__ = ("a",)

    def __init__(self):
        self.a = [1]


node = copy.deepcopy(Node(5))
print(node.value, node.links[0] is node, copy.copy(Slotted()).a, copy.deepcopy({1: [2, (3,)]}))
