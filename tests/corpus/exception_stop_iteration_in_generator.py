def numbers():
    yield next(iter([]))


list(numbers())
