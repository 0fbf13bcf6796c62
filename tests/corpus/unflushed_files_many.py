# files: a.txt b.txt c.txt d.txt
import contextlib
import io

a = open("a.txt", "w")
b = [open("b.txt", "w")]
c = io.TextIOWrapper(open("c.txt", "wb"))
d = contextlib.ExitStack()
d.file = d.enter_context(open("d.txt", "w"))
for file in (a, b[0], c, d.file):
    file.write("text")
