def stubborn():
    while True:
        try:
            yield 1
        except GeneratorExit:
            yield 2


pending = stubborn()
next(pending)
