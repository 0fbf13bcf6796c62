# attach: beside.py "value = 9\n"
import pathlib
import sys

import beside

print(pathlib.Path(sys.path[0]) == pathlib.Path.cwd(), beside.value, pathlib.Path(beside.__file__).name)
print(pathlib.Path(beside.__file__).parent == pathlib.Path.cwd(), beside.__name__, beside.__spec__.name)
