import asyncio


async def forever():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled")
        raise


async def main():
    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0)
    task.cancel()
    print(await asyncio.gather(task, return_exceptions=True))


asyncio.run(main())
asyncio.run(asyncio.sleep(0.001))
print("twice")
