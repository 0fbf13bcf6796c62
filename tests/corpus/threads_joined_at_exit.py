# admin
import threading
import time

turns = [threading.Event() for _ in range(5)]


def work(number):
    turns[number].wait()
    time.sleep(0.01)
    print("thread", number)
    turns[number + 1].set()


for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
print("main done")
turns[0].set()
