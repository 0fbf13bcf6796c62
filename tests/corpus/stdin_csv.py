# stdin: "name,qty\r\n\"a, b\",2\r\nc,3\r\n"
import csv
import sys

for row in csv.DictReader(sys.stdin):
    print(dict(row))
