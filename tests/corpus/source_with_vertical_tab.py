print('a')
print('b')
