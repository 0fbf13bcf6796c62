import math
import sys


class Noisy:
    def __del__(self):
        sys.stdout.write("pi is %.2f\n" % math.pi)


noisy = Noisy()
noisy.again = noisy
