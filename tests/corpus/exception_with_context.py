try:
    int("x")
except ValueError:
    undefined_name  # noqa: F821
