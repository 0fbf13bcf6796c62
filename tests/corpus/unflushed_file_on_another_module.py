# files: out.txt
import math

math.log_file = open("out.txt", "w")
math.log_file.write("held by a module")
