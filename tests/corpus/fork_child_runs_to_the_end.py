# admin
import os

pid = os.fork()
if pid:
    print("parent saw", os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
else:
    print("child reaches the end")
