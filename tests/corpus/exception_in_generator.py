def numbers():
    yield 1
    raise RuntimeError("inside the generator")


for number in numbers():
    print(number)
