class Pause:
    def __await__(self):
        got = yield "paused"
        return got


async def work():
    return await Pause() + 1


coroutine = work()
print(coroutine.send(None))
try:
    coroutine.send(41)
except StopIteration as end:
    print(end.value)


async def numbers():
    for number in range(3):
        yield number


async def collect():
    return [number async for number in numbers()]


try:
    collect().send(None)
except StopIteration as end:
    print(end.value)
