import copy
import json

value = []
for _ in range(200):
    value = [value]
print(json.dumps(value).count("["), str(copy.deepcopy(value)) == str(value))
text = "[" * 100_000
try:
    json.loads(text)
except RecursionError as error:
    print(type(error).__name__)
