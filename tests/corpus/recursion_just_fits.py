def total(number):
    return number + total(number - 1) if number else 0


print(total(950))
