# stdin: "Ada\n36\n"
name = input()
age = int(input("How old? "))
print(name, "will be", age + 1)
