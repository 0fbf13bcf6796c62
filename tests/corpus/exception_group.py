# python: 3.11
def fail(number):
    raise ValueError(number)


errors = []
for number in range(3):
    try:
        fail(number)
    except ValueError as error:
        errors.append(error)
raise ExceptionGroup("several", [errors[0], ExceptionGroup("inner", errors[1:])])
