import cProfile
import io
import pstats


def work():
    return sorted(range(3))


profile = cProfile.Profile()
profile.enable()
work()
profile.disable()
stream = io.StringIO()
stats = pstats.Stats(profile, stream=stream)
print(sorted(name for _, _, name in stats.stats if "work" in name or "sorted" in name))
cProfile.run("work()", "stats.out")
print(pstats.Stats("stats.out").total_calls > 1)
