print([1 / number for number in (2, 1, 0)])
