value = 1 + 1
