number = 7**10_000
print(number % 10**20, number.bit_length(), hex(number)[:20], len("%x" % number))
