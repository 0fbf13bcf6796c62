# admin
import asyncio
import sys


async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(6 * 7)", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    print(output, process.returncode)


asyncio.run(main())
