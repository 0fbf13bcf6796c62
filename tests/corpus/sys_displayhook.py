import sys

sys.displayhook("shown")
sys.displayhook(None)
print(_)  # noqa: F821
