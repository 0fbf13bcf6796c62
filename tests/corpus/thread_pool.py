# admin
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(3) as pool:
    print(list(pool.map(lambda number: number**2, range(6))))
    future = pool.submit(int, "x")
print(type(future.exception()).__name__)
lingering = ThreadPoolExecutor(1)
lingering.submit(print, "still runs at exit")
