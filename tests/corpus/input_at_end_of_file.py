# stdin: "only\n"
print(input("one: "))
print(input("two: "))
