print(eval("+".join(["1"] * 500)))
print(eval("(" * 80 + "1" + ")" * 80))
try:
    eval("(" * 250 + "1" + ")" * 250)
except (SyntaxError, MemoryError) as error:
    print(type(error).__name__)
