# admin
import atexit
import os
import sys

atexit.register(print, "atexit")
pid = os.fork()
if pid == 0:
    sys.exit(9)
print("parent saw", os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
sys.exit(4)
