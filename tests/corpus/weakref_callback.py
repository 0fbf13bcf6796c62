import gc
import weakref


class Thing:
    pass


thing = Thing()
reference = weakref.ref(thing, lambda _: print("gone"))
thing.me = thing
del thing
print(gc.collect() > 0, reference())
