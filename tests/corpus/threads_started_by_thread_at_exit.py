# admin
import threading
import time


def second():
    print("second")


def first():
    time.sleep(0.05)
    threading.Thread(target=second).start()


threading.Thread(target=first).start()
1 / 0
