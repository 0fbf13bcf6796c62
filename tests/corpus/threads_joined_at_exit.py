# admin
import threading
import time


def work(number):
    time.sleep(0.02 * number)
    print("thread", number)


for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
print("main done")
