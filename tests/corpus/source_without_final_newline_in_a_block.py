if True:
    print('a')