try:
    raise KeyboardInterrupt("caught")
except KeyboardInterrupt as error:
    print(repr(error))
