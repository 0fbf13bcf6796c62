try:
    block = bytearray(2**60)
except MemoryError as error:
    print("caught", repr(error))
bytes(2**61)
