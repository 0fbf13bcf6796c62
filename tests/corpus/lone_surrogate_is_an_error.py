print("before")
print("bad \ud800 surrogate")
print("never")
