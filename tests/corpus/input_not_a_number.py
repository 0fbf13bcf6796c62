# stdin: "twelve\n"
print(int(input("number: ")))
