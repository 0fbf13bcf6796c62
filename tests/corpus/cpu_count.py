# admin
import os

print(os.cpu_count() == os.cpu_count(), os.name, os.sep, os.linesep == "\n")
