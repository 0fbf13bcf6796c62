import sys


class Body:
    values = [sys.exit(6) if number == 2 else number for number in range(5)]
