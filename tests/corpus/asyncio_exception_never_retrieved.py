# admin
import asyncio


async def fails():
    raise ValueError("nobody asks")


async def main():
    task = asyncio.create_task(fails(), **{})
    task.set_name("failing") if hasattr(task, "set_name") else None
    await asyncio.sleep(0.01)
    del task
    print("end of main")


asyncio.run(main())
