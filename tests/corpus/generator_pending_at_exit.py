def numbers():
    try:
        yield 1
        yield 2
    finally:
        print("cleaned up")


pending = numbers()
print(next(pending))
