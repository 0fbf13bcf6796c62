print('a')
print('b')
print('c')1 / 0
