import fileinput
import getopt
import optparse
import sys

with open("in.txt", "w") as file:
    file.write("one\ntwo\n")
sys.argv = ["tool", "-n", "3", "in.txt"]
print(getopt.getopt(sys.argv[1:], "n:"))
parser = optparse.OptionParser()
parser.add_option("-n", type="int")
print(parser.parse_args()[0].n, parser.parse_args()[1])
sys.argv = ["tool", "in.txt"]
print([line.strip() for line in fileinput.input()])
