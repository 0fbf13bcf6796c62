print("\d\w")
