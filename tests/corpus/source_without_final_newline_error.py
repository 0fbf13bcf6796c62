print('a')
print(undefined)