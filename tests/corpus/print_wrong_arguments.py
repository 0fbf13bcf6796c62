try:
    print("x", sep=1)
except TypeError as error:
    print(error)
try:
    print("x", file="not a file")
except AttributeError as error:
    print(error)
print("x", bad=1)
