import contextlib
import io
import sys

inner = io.StringIO()
with contextlib.redirect_stdout(inner):
    print("inside")
print("outside", repr(inner.getvalue()))
errors = io.StringIO()
with contextlib.redirect_stderr(errors):
    print("hidden", file=sys.stderr)
print(repr(errors.getvalue()), sys.stdout is sys.__stdout__)
