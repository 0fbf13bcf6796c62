# files: table.csv
import csv

writer = csv.writer(open("table.csv", "w", newline=""))
writer.writerow(["a", "b,c", 'd"e', 1.5])
writer.writerows([[1, 2], [None, "ü"]])
