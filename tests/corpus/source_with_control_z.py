print('a')

