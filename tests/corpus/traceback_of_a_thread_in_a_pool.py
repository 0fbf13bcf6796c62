# admin
import concurrent.futures
import traceback


def fails(n):
    return 1 // n


with concurrent.futures.ThreadPoolExecutor(2) as pool:
    future = pool.submit(fails, 0)
    print(type(future.exception()).__name__, [e.name for e in traceback.extract_tb(future.exception().__traceback__)])
    print(list(pool.map(fails, [1, 2])))
    future.result()
