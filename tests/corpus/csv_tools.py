# files: out.csv
import csv

with open("out.csv", "w", newline="") as file:
    writer = csv.DictWriter(file, fieldnames=["a", "b"], quoting=csv.QUOTE_NONNUMERIC, delimiter=";")
    writer.writeheader()
    writer.writerow({"a": 1, "b": 'say "x"\nnew line'})
with open("out.csv", newline="") as file:
    print(list(csv.reader(file, delimiter=";")), csv.Sniffer().sniff("a;b;c\n1;2;3").delimiter, csv.list_dialects())
csv.DictWriter(open("other.csv", "w"), ["a"]).writerow({"z": 1})
