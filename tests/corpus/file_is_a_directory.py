try:
    open(".")
except IsADirectoryError as error:
    print(error)
open("nowhere/x.txt", "w")
