# stdin: "a\0b\x0cc\u2028d\x85e\n\x1a\n"
print(ascii(input()), ascii(input()))
