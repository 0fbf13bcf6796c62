# admin
import queue
import threading

items = queue.Queue()


def consume():
    while True:
        item = items.get()
        if item is None:
            break
        print("got", item)


consumer = threading.Thread(target=consume)
consumer.start()
for number in range(3):
    items.put(number)
items.put(None)
