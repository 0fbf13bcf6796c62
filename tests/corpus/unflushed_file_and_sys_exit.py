# files: out.txt
import sys

file = open("out.txt", "w")
file.write("text")
sys.exit(3)
