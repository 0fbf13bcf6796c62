# files: out.txt
from typing import Dict, List, Optional


class Node:
    children: "List[Node]"

    def __init__(self):
        self.file = open("out.txt", "w")
        self.file.write("some text")

    def __del__(self):
        print("del", describe(self))


def describe(node):
    return type(node).__name__


Nodes = List[Node]
Maybe = Optional[Dict[str, Node]]
node = Node()
