print(f"{name")
