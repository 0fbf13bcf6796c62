# stdin: "first\nlast"
print([input(), input("> ")])
