value: undefined_name = 1  # noqa: F821
