def function(a, a):
    pass
