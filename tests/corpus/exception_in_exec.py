exec("x = 1\nraise ValueError('inside exec')")
