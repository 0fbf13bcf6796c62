# admin
import mmap
import re


def show(view):
    return re.sub("0x[0-9a-f]+", "", repr(view))  # before Python 3.10 it has the address


for view in (
    mmap.mmap(-1, 10),
    mmap.mmap(-1, length=4096, access=mmap.ACCESS_READ),
    mmap.mmap(-1, 4096, access=mmap.ACCESS_WRITE),
    mmap.mmap(fileno=-1, length=4096, prot=mmap.PROT_READ),
    mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
):
    print(type(view), isinstance(view, mmap.mmap), len(view), view[:3])
    print(show(view).replace("WRITE", "DEFAULT"), str(view) == repr(view))
    try:
        view[:2] = b"ab"
    except TypeError as error:
        print(error)
    print(view[:3], view.find(b"b"), view.flush())
    view.close()
    print(show(view))


class Counted(mmap.mmap):
    made = 0

    def __new__(cls, *given, **named):
        cls.made += 1
        return super().__new__(cls, *given, **named)


with Counted(-1, 20) as counted:
    counted.write(b"abc")
    print(Counted.made, show(counted))
print(mmap.mmap.__name__, mmap.mmap.__qualname__, mmap.mmap.__module__)
for wrong in ((), (-1,), (-1, -5), (-1, "x"), (-1, 10, "x"), (-1, 10, 1, 1, 1), (-1, 0)):
    try:
        mmap.mmap(*wrong)
    except Exception as error:
        print(type(error).__name__, error)
try:
    mmap.mmap(-1, 10, access=9)
except Exception as error:
    print(type(error).__name__, error)
try:
    mmap.mmap(-1, 10, length=5)
except Exception as error:
    print(type(error).__name__, error)
mmap.mmap(-1, 10, access=mmap.ACCESS_READ, prot=mmap.PROT_READ)
