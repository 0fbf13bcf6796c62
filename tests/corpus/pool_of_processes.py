# tree
# admin
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pool, Queue, Process


def square(n):
    return n * n


def put(queue):
    queue.put("from a process")


if __name__ == "__main__":
    with Pool(2) as pool:
        print(pool.map(square, [1, 2, 3]))
    with ProcessPoolExecutor(2) as executor:
        print(list(executor.map(square, range(4))))
    queue = Queue()
    process = Process(target=put, args=(queue,))
    process.start()
    print(queue.get(timeout=20))
    process.join()
    print(process.exitcode)
