print("asking")
input("prompt> ")
