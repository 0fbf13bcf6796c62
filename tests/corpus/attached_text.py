# attach: input.txt "first line\nzweite Zeile ü\n"
with open("input.txt", encoding="utf-8") as file:
    for line in file:
        print(line.rstrip().upper())
