from .sibling import thing
