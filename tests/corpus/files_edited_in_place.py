# deletes
# files: a.txt
import fileinput

with open("a.txt", "w") as file:
    file.write("one\ntwo\n")
for line in fileinput.input("a.txt", inplace=True, backup=".bak"):
    print(line.upper(), end="")
print(open("a.txt").read(), end="")
