def function(a=1, b):
    pass
