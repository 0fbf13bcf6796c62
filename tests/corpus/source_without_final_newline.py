print('a')
print('b')