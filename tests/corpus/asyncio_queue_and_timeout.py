import asyncio


async def produce(queue):
    for number in range(3):
        await asyncio.sleep(0.001)
        await queue.put(number)
    await queue.put(None)


async def main():
    queue = asyncio.Queue()
    task = asyncio.create_task(produce(queue))
    while True:
        item = await queue.get()
        if item is None:
            break
        print(item)
    await task
    try:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError:
        print("timed out")
    lock = asyncio.Lock()
    async with lock:
        print(lock.locked())


asyncio.run(main())
