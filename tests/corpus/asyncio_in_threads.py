import asyncio
import time


def slow(number):
    time.sleep(0.005)
    return number


async def main():
    loop = asyncio.get_running_loop()
    print(sorted(await asyncio.gather(*(loop.run_in_executor(None, slow, n) for n in range(5)))))
    future = loop.create_future()
    loop.call_soon_threadsafe(future.set_result, "set")
    print(await future)


asyncio.run(main())
