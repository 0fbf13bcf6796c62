def function(a, b, *, c):
    pass


for call in (lambda: function(), lambda: function(1, 2, 3), lambda: function(1, 2, d=3), lambda: 1 + "x", lambda: None()):
    try:
        call()
    except TypeError as error:
        print(error)
function(1)
