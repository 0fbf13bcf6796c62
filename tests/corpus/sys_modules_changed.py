import sys
import types

made = types.ModuleType("made")
made.x = 5
sys.modules["json"] = made
import json

print(json.x, "__main__" in sys.modules, sys.modules["__main__"].__dict__ is globals())
del sys.modules["json"]
import json

print(json.loads("[1]"))
