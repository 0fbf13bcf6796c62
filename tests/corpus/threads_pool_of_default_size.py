import time
from concurrent.futures import ThreadPoolExecutor, as_completed

with ThreadPoolExecutor() as pool:
    futures = {pool.submit(lambda n: time.sleep(0.001) or n * n, n): n for n in range(50)}
    print(sum(future.result() for future in as_completed(futures)))
