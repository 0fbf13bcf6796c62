print('a')
# end