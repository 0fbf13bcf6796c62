# python: 3.11
import sys

sys.set_int_max_str_digits(0)
text = str(3**60_000)
print(len(text), text[:10], int("7" * 20_000) % 97)
