class Broken:
    print("in the body")
    value = undefined  # noqa: F821
