# stdin: "a\n"
text = '''one
two'''
print(repr(text), input())
if True:
    raise ValueError('crlf')
