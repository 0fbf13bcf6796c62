values = 1)
