"""What goes back to a client, and what the log says of it: made by the application, written by the handler."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Iterable, Iterator, List, Optional, Tuple, Union

from pyexec.http1.memory import Kept
from pyexec.timing import Stage

JSON = "application/json; charset=utf-8"
_BLOCK = 3 << 16  # whole groups of three bytes, so that the texts of the blocks make up that of all


class Encoded:
    """A large content in Base64, made block by block as it is written: with both, it would be in memory 2.3 times."""

    def __init__(self, content: bytes) -> None:
        """Take the content."""
        self._content = content

    def __len__(self) -> int:
        """Return the length of the text."""
        return (len(self._content) + 2) // 3 * 4

    def blocks(self) -> Iterator[bytes]:
        """Yield the text."""
        view = memoryview(self._content)
        for place in range(0, len(view), _BLOCK):
            yield binascii.b2a_base64(view[place : place + _BLOCK], newline=False)


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
    """What goes back to the client, and what the log says of it."""

    status: int
    parts: List[Part]
    content_type: str = JSON
    fields: List[Tuple[str, str]] = field(default_factory=list)
    kind: str = "ok"
    limit_name: str = ""
    caller: str = "-"
    fault: str = ""
    stages: List[Stage] = field(default_factory=list)  # where the time went
    kept: Optional[Kept] = None  # what it holds of the memory of all answers

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(len(part) for part in self.parts)
