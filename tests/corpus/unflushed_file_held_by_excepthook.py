# files: out.txt
import sys

file = open("out.txt", "w")
file.write("text")


def hook(*about):
    file.write(" and more")


sys.excepthook = hook
raise ValueError
