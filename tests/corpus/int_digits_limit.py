# python: 3.11
import sys

print(sys.get_int_max_str_digits(), len(str(10**4000)))
try:
    str(10**5000)
except ValueError as error:
    print(error)
int("9" * 5000)
