code = compile("def inner():\n    return 1 / 0\n", "<template>", "exec")
exec(code)
inner()  # noqa: F821
