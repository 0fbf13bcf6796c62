import traceback

try:
    compile("def f(:\n  pass", "<given>", "exec")
except SyntaxError as error:
    print(error.filename, error.lineno, error.offset, repr(error.text), error.msg)
    traceback.print_exc()
