# files: a.txt
with open("a.txt", "x") as file:
    print(file.write("one\n"), file.tell(), file.mode, file.encoding.lower(), file.name)
with open("a.txt", "a+") as file:
    file.write("two\r\nthree")
    file.seek(0)
    print(file.readlines(), file.newlines)
with open("a.txt", "r+b") as file:
    file.seek(2)
    file.write(b"E")
    file.truncate(6)
    print(file.tell())
try:
    open("a.txt", "x")
except FileExistsError as error:
    print(error)
with open("a.txt", newline="") as file:
    print(repr(file.read()))
open("a.txt", "q")
