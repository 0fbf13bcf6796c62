import inspect


def function(a, b=2):
    """Doc."""
    return a + b


print(inspect.getsource(function))
print(inspect.signature(function), inspect.getdoc(function), inspect.getmodule(function).__name__, len(inspect.getsourcelines(function)[0]))
