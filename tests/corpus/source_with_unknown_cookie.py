# vim: set fileencoding=klingon :
print('x')
