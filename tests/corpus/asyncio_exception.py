# admin
import asyncio


async def main():
    await asyncio.sleep(0)
    raise ValueError("from a coroutine")


asyncio.run(main())
