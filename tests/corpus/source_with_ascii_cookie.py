# coding: ascii
print('ü')
