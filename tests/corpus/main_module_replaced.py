# files: out.txt
import sys

file = open("out.txt", "w")
file.write("text")
sys.modules["__main__"] = sys.modules["sys"]
print(__name__)
