# admin
import tempfile

with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile("w+", dir=directory) as file:
    file.write("x")
    file.seek(0)
    print(file.read())
print(tempfile.TemporaryFile().write(b"abc"))
