import warnings


def old():
    warnings.warn("old() is old", DeprecationWarning, stacklevel=2)


old()
old()
