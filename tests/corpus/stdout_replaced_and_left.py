import io
import sys

sys.stdout = io.StringIO()
print("never seen")
sys.__stdout__.write("seen\n")
