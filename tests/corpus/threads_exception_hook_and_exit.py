# admin
import sys
import threading

threading.excepthook = lambda about: print("hook", about.exc_type.__name__, about.thread.name)
thread = threading.Thread(target=lambda: 1 / 0, name="dividing")
thread.start()
thread.join()
silent = threading.Thread(target=sys.exit, args=(5,))
silent.start()
silent.join()
print("exit in a thread ends the thread only")
