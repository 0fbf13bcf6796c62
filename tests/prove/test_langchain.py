"""examples/langchain_agent.py with LangChain itself and a scripted model."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from support import ROOT


class Scripted(GenericFakeChatModel):
    """A model that says what it is told to; the tools that it is offered are none of its business."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def _call(code: str, place: int) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "run_python", "args": {"code": code}, "id": "call-%d" % place}])


def test_the_agent_recovers_from_errors_and_answers(server) -> None:
    specification = importlib.util.spec_from_file_location("a", os.path.join(ROOT, "examples", "langchain_agent.py"))
    assert specification is not None and specification.loader is not None
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    script = [_call("import os", 0), _call("print(1 / 0)", 1), _call("print(6 * 7)", 2), AIMessage("It is 42.")]
    agent = example.agent(Scripted(messages=iter(script)), server.client)
    state = agent.invoke({"messages": [{"role": "user", "content": "What is six times seven?"}]})
    said = [message.content for message in state["messages"] if message.type == "tool"]
    assert "Import of 'os' is not allowed" in said[0] and "ZeroDivisionError" in said[1] and said[2] == "42\n"
    assert state["messages"][-1].content == "It is 42."
    assert example.answer("?", Scripted(messages=iter([AIMessage("Yes.")])), server.client) == "Yes."
