# python: 3.12
type Pair[T] = tuple[T, T]


def first[T](items: list[T]) -> T:
    return items[0]


class Box[T]:
    def __init__(self, value: T):
        self.value = value


print(Pair, Pair.__value__, first([1]), Box[int](5).value, first.__type_params__)
print(f"{'nested ' + f"{1 + 1}"}")
