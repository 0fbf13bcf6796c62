import numpy.nonexistent
