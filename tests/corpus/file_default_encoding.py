# files: out.txt
with open("out.txt", "w") as file:
    file.write("ü🐍")
print(open("out.txt", "rb").read())
