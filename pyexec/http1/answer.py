"""What passes between the handler and the application: a request as it was read, and the answer to it."""

from __future__ import annotations

import binascii
import contextlib
import copy
import hashlib
from dataclasses import dataclass, field
from typing import Iterable, Iterator, Union

from pyexec.http1.memory import Body, Kept
from pyexec.http1.message import Head
from pyexec.presence import Presence
from pyexec.timing import Stage

CLOSED_BY_CLIENT = 499  # the status in the log of a request whose client has gone; never sent
JSON = "application/json; charset=utf-8"
_BLOCK = 3 << 16  # whole groups of three bytes, so that the texts of the blocks make up the text of the whole


class Asked:
    """A request as it was read.

    Attributes:
        peer: the address at the connection's other end. after: unwound once the answer is written.
        presence: whether the client is still there; None where nothing can tell. size: bytes of the body.
    """

    def __init__(
        self,
        head: Head,
        body: Body | bytes,
        peer: str,
        after: contextlib.ExitStack,
        presence: Presence | None = None,
    ) -> None:
        """Take what was read."""
        self.head, self.peer, self.after, self.presence = head, peer, after, presence
        self._body, self.size = body, body.size if isinstance(body, Body) else len(body)
        self._digest = ""

    @property
    def body(self) -> bytes:
        """The body; a large one is put together when it is first asked for, which takes its size again for a moment."""
        if isinstance(self._body, Body):
            self._body = self._body.whole()
        return self._body

    @property
    def digest(self) -> str:
        """What tells the body from any other; it outlives the body if it was asked for before."""
        if not self._digest:
            self._digest = hashlib.sha256(self.body).hexdigest()
        return self._digest

    def within(self, after: contextlib.ExitStack) -> Asked:
        """Return the same request with another stack."""
        same = copy.copy(self)
        same.after = after
        return same

    def forget_body(self) -> None:
        """Let go of the body, which nobody asks for again: its request may wait and run for long."""
        self._body = b""


class Encoded:
    """A large content in Base64, encoded block by block as it is written.

    Encoded at once, it would be in memory 2.3 times.
    """

    def __init__(self, content: bytes) -> None:
        """Take the content."""
        self._content = content

    def __len__(self) -> int:
        """Return the length of the text."""
        return (len(self._content) + 2) // 3 * 4

    @property
    def in_memory(self) -> int:
        """Bytes of the content."""
        return len(self._content)

    def blocks(self) -> Iterator[bytes]:
        """Yield the text."""
        view = memoryview(self._content)
        for offset in range(0, len(view), _BLOCK):
            yield binascii.b2a_base64(view[offset : offset + _BLOCK], newline=False)


Part = Union[bytes, Encoded]


def made_as_written(parts: Iterable[Part]) -> Iterator[bytes]:
    """Yield the bytes of an answer's parts, each when it is asked for."""
    for part in parts:
        if isinstance(part, Encoded):
            yield from part.blocks()
        else:
            yield part


@dataclass
class Answer:
    """What goes back to the client, and what the log says about it; with CLOSED_BY_CLIENT, nothing goes back."""

    status: int
    parts: list[Part]
    content_type: str = JSON
    fields: list[tuple[str, str]] = field(default_factory=list)
    kind: str = "ok"
    limit_name: str = ""
    caller: str = "-"
    key: str = ""  # the name of the caller's key
    fault: str = ""
    is_logged: bool = True  # not what balancers ask for every second
    stages: list[Stage] = field(default_factory=list)  # where the time went
    kept: Kept | None = None  # its share of the memory of all answers

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)

    @property
    def in_memory(self) -> int:
        """Bytes that the body takes until it is written."""
        return sum(part.in_memory if isinstance(part, Encoded) else len(part) for part in self.parts)
