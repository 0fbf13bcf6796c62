items = []
items.append(items)
print(items)


class Loop:
    def __repr__(self):
        return repr(self)


try:
    repr(Loop())
except RecursionError as error:
    print(str(error)[:32])
