import json

print = __builtins__.print
__builtins__.shared = "seen everywhere"
print(shared, json.dumps(len("x")))  # noqa: F821
len = None
print(len, max(1, 2))
