# admin
import faulthandler
import sys
import threading

ready, go = threading.Event(), threading.Event()


def work():
    ready.set()
    go.wait(10)


thread = threading.Thread(target=work)
thread.start()
ready.wait(10)
with open("trace.txt", "w") as file:
    faulthandler.dump_traceback(file)
go.set()
thread.join()
with open("trace.txt") as file:
    lines = [line.strip() for line in file if line.strip()]
print([line.rpartition("in ")[2] for line in lines if "script.py" in line])
print([line for line in lines if "pyexec" in line])
