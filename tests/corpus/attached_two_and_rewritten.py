# attach: a.csv "x,y\n1,2\n3,4\n"
# attach: b ü.json "{\"factor\": 10}"
# files: a.csv sum.txt
import csv
import json

factor = json.load(open("b ü.json", encoding="utf-8"))["factor"]
rows = list(csv.DictReader(open("a.csv", newline="")))
with open("sum.txt", "w") as file:
    print(sum(int(row["x"]) * factor for row in rows), file=file)
with open("a.csv", "a") as file:
    file.write("5,6\n")
