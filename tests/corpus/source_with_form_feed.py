print('a')

print('b')
print('c')
if True:
    print('d')
1 / 0
