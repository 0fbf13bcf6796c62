# attach: data.bin b"\x00\x01\xff\xfe"
# files: copy.bin data.bin
content = open("data.bin", "rb").read()
print(content, list(content))
with open("copy.bin", "wb") as file:
    file.write(content[::-1])
