counter = 1
print(countr)  # noqa: F821
