def function():
    x = 1
    global x
