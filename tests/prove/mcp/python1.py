"""The official Python client 1.x, which knows the older revisions only: argv is its target, an address or a command."""

import asyncio
import base64
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client

CODE = "from PIL import Image\nImage.new('RGB', (9, 9), 'red').save('a.png')\nprint('hi')"


def target():
    """Return a context manager of the client's streams."""
    command = json.loads(sys.argv[1])
    if isinstance(command, str):
        return streamablehttp_client(command)
    keep = {"PYTHONPATH": os.environ["SERVER_PYTHONPATH"]}
    return stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=keep))


async def main():
    """Print, as JSON, what the client made of the server."""
    async with target() as streams, ClientSession(*streams[:2]) as session:
        started = await session.initialize()
        await session.send_ping()
        tools = (await session.list_tools()).tools
        result = await session.call_tool("execute_python", {"code": CODE, "return_files": ["a.png"]})
        failed = await session.call_tool("execute_python", {"code": "1/0"})
        wrong = await session.call_tool("execute_python", {"script": "1"})
        calls = [session.call_tool("execute_python", {"code": "print(%d)" % number}) for number in range(4)]
        together = [answer.content[0].text for answer in await asyncio.gather(*calls)]
        found = {
            "version": started.protocolVersion,
            "tools": [tool.name for tool in tools],
            "text": result.content[0].text,
            "picture": base64.b64decode(result.content[1].data)[:8].hex(),
            "failed": [failed.isError, failed.content[0].text.splitlines()[-1]],
            "wrong": [wrong.isError, wrong.content[0].text],
            "together": together,
        }
    print(json.dumps(found))


asyncio.run(main())
