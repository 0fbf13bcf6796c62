import sys

print("to stdout", file=sys.stdout)
print("to stderr", file=sys.stderr)
print("to dunder stdout", file=sys.__stdout__)
print("to dunder stderr", file=sys.__stderr__)
sys.stdout.write("written\n")
sys.stderr.write("also written\n")
print(sys.stdout.write("four\n"), sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
sys.stdout.writelines(["a", "b\n"])
