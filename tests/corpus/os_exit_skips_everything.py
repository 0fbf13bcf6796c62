# admin
# files: out.txt
import atexit
import os

atexit.register(print, "never")
file = open("out.txt", "w")
file.write("never flushed")
os._exit(0)
