"""A LangChain agent whose tool runs Python in a pyexec server.

    pip install langchain langchain-openai
    python examples/langchain_agent.py openai:gpt-5 "Which of the first thousand primes are palindromes?"

Nothing but `tool` and `create_agent` is LangChain's own; with LangGraph the same tool goes into a ToolNode.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool

from pyexec.client import Client, ServiceError

MOST_SHOWN = 8000  # characters of output that the model gets to read
INSTRUCTIONS = "Use run_python for whatever can be computed. Nothing is kept from one call to the next."


def python_tool(client: Client) -> Any:
    """Return the tool."""

    @tool
    def run_python(code: str) -> str:
        """Run a Python script and return what it printed. Print what you want to see."""
        try:
            result = client.execute(code)
        except ServiceError as error:  # the message says what to do, so the model gets to read it
            return str(error)
        parts = [result.stdout[:MOST_SHOWN], result.stderr[-MOST_SHOWN:], result.hint]
        return "\n".join(filter(None, parts)) or "Nothing was printed."

    return run_python


def agent(model: Any, client: Client) -> Any:
    """Return an agent; `model` is a chat model, or a name such as "openai:gpt-5"."""
    return create_agent(model, tools=[python_tool(client)], system_prompt=INSTRUCTIONS)


def answer(question: str, model: Any, client: Client) -> str:
    """Return the agent's answer to a question."""
    state = agent(model, client).invoke({"messages": [{"role": "user", "content": question}]})
    return str(state["messages"][-1].content)


if __name__ == "__main__":
    service = Client(os.environ.get("PYEXEC_URL", "http://127.0.0.1:5000"))
    print(answer(" ".join(sys.argv[2:]), sys.argv[1], service))
