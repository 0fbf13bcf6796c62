import sys

print("before")
sys.stdout = None
print("nothing")
sys.__stdout__.write("after\n")
