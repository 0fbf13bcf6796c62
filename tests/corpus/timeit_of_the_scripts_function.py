import timeit


def work():
    return sum(range(10))


ticks = iter(range(1000))
print(timeit.timeit("work()", "from __main__ import work", timer=lambda: next(ticks), number=3))
print(timeit.timeit("work()", globals=globals(), timer=lambda: next(ticks), number=3))
print(timeit.repeat(work, timer=lambda: next(ticks), number=2, repeat=2))
timeit.timeit("work(", number=1)
