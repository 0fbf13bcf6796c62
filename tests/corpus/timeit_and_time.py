import time
import timeit

print(timeit.timeit("x = 1", number=10) >= 0, time.perf_counter() < time.perf_counter() + 1)
started = time.monotonic()
time.sleep(0.02)
print(0.02 <= time.monotonic() - started < 5)
