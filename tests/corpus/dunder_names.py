# python: 3.9
"""The docstring of the module."""
print(__name__, repr(__doc__), __package__, __spec__, __cached__, __file__.rsplit("/", 1)[1], __file__.startswith("/"))
print(type(__loader__).__name__, type(__builtins__).__name__, __builtins__.__name__, __debug__)
