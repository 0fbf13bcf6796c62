# files: out.txt raw.bin
file = open("out.txt", "w", encoding="utf-8")
file.write("never closed: ü\n")
raw = open("raw.bin", "wb")
raw.write(b"\x00\xff" * 3)
