import queue
import threading

jobs, done = queue.Queue(3), []
lock, turn = threading.Lock(), threading.Condition()


def work():
    while True:
        job = jobs.get()
        if job is None:
            return
        with lock:
            done.append(job * 2)
        jobs.task_done()


workers = [threading.Thread(target=work) for _ in range(4)]
for worker in workers:
    worker.start()
for number in range(20):
    jobs.put(number)
jobs.join()
for _ in workers:
    jobs.put(None)
for worker in workers:
    worker.join()
print(sorted(done) == [2 * number for number in range(20)])
with turn:
    print(turn.wait(0.01), threading.Semaphore(0).acquire(timeout=0.01), lock.acquire(timeout=1))
