# files: late.txt
import atexit

file = open("late.txt", "w")
atexit.register(file.write, "written at exit")
