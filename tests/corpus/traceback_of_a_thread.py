# admin
import threading


def fails():
    {}["missing"]


def outer():
    fails()


thread = threading.Thread(target=outer, name="worker")
thread.start()
thread.join()
print("main goes on", thread.is_alive())
