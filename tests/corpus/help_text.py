def function(a):
    """Explain."""


help(function)
