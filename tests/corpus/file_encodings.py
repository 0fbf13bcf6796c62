# files: utf16.txt latin.txt sig.txt
for name, encoding in (("utf16.txt", "utf-16"), ("latin.txt", "latin-1"), ("sig.txt", "utf-8-sig")):
    with open(name, "w", encoding=encoding) as file:
        file.write("Grüße\n")
    with open(name, encoding=encoding) as file:
        print(repr(file.read()))
print(open("latin.txt", errors="replace").read())
open("latin.txt").read()
