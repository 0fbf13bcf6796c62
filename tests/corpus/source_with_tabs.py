if True:
	print('tab')
	if True:
		1 / 0
