"""The official Python client 2.x, in each of its modes: argv are its target (an address, or a command) and the mode."""

import asyncio
import base64
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

CODE = "from PIL import Image\nImage.new('RGB', (9, 9), 'red').save('a.png')\nprint('hi')"


def target():
    """Return what to connect to; a program of our own gets no environment but what is named here."""
    command = json.loads(sys.argv[1])
    if isinstance(command, str):
        return command
    keep = {"PYTHONPATH": os.environ["SERVER_PYTHONPATH"]}
    return stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=keep))


async def main():
    """Print, as JSON, what the client made of the server."""
    async with Client(target(), mode=sys.argv[2]) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool("execute_python", {"code": CODE, "return_files": ["a.png"]})
        failed = await client.call_tool("execute_python", {"code": "1/0"})
        wrong = await client.call_tool("execute_python", {"script": "1"})
        calls = [client.call_tool("execute_python", {"code": "print(%d)" % number}) for number in range(4)]
        together = [answer.content[0].text for answer in await asyncio.gather(*calls)]
        found = {
            "version": client.protocol_version,
            "tools": [tool.name for tool in tools],
            "text": result.content[0].text,
            "picture": base64.b64decode(result.content[1].data)[:8].hex(),
            "failed": [failed.is_error, failed.content[0].text.splitlines()[-1]],
            "wrong": [wrong.is_error, wrong.content[0].text],
            "together": together,
        }
    print(json.dumps(found))


asyncio.run(main())
