import weakref


class Thing:
    pass


thing = Thing()
weakref.finalize(thing, print, "finalised one")
weakref.finalize(thing, print, "finalised two")
quiet = weakref.finalize(thing, print, "never at exit")
quiet.atexit = False
print("end", weakref.ref(thing)() is thing)
