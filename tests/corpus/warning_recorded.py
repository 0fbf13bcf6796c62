import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    warnings.warn("one", FutureWarning)
    warnings.warn("two")
print([(str(item.message), item.category.__name__, item.lineno) for item in caught])
