# stdin: "1 2\n3 4 5\n"
with open("/dev/stdin") as numbers:
    print(numbers.name, sum(int(x) for line in numbers for x in line.split()))
