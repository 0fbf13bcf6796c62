"""Doc.

>>> 1 + 1
2
>>> 1 + 2
4
"""
import doctest
import sys

sys.stdout = sys.stderr
print(doctest.testmod())
