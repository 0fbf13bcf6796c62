# stdin: "p 1 + 1\nc\n"
import sys

sys.stdout = sys.stderr
x = 5
breakpoint()
print("after")
