# admin
# stdin: "q\n"
import pdb
import sys

sys.stdout = sys.stderr
pdb.set_trace()
print("never")
