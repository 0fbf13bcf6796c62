try:
    from math import squareroot
except ImportError as error:
    print(error, error.name)
from collections import Missing
