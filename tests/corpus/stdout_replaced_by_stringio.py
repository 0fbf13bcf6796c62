import io
import sys

sys.stdout = io.StringIO()
print("caught")
text = sys.stdout.getvalue()
sys.stdout = sys.__stdout__
print("got", repr(text))
