from pathlib import Path

with open("a.bin", "w+b") as file:
    file.seek(100000)
    file.write(b"end")
    print(file.tell())
    file.truncate(10)
print(Path("a.bin").stat().st_size)
with open("a.bin", "r+b") as file:
    file.truncate(20)
    print(len(file.read()))
