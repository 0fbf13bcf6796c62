import json

print(json.dumps({"b": [1, 2.5, None, True], "a": "ü\u2028\"", 1: float("inf")}, indent=2))
print(json.loads('[1e5, -0.0, "\\ud83d\\udc0d", {"a": {}}]'))
json.dumps({1, 2})
