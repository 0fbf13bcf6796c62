first, second = [], []
first.append(second)
second.append(first)
try:
    print(first == second)
except RecursionError as error:
    print(type(error).__name__)
