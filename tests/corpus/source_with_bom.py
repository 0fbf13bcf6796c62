print('bom', __doc__)
1 / 0
