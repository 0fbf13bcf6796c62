def step(number):
    try:
        if number:
            step(number - 1)
        raise ValueError(number)
    except ValueError as error:
        raise RuntimeError(number) from error


step(3)
