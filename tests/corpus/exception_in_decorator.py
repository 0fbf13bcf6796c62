import functools


def loud(function):
    @functools.wraps(function)
    def wrapper(*args):
        print("calling", function.__name__)
        return function(*args)

    return wrapper


@loud
def work(value):
    raise ArithmeticError(value)


work(1)
