# admin
import os
import sys

os.close(1)
sys.stdout.write("lost")
