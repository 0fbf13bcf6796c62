print(list(globals()))
print(locals() is globals(), vars() is globals())
