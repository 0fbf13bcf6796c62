"""The two files of a batch: jobs, one a line, and results, one a line for each id, to which a later run adds."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass
from typing import Any, Iterator

from pyexec.errors import ValidationError

LONGEST_ID = 200
_FIELD = "id"


@dataclass(frozen=True)
class Entry:
    """One job: its id, and the body of its `POST /execute`."""

    id: str
    body: dict[str, Any]


class Jobs:
    """The lines of a file of jobs, checked as a whole before the first of them is run.

    Only ids and places are kept in memory: a job may have megabytes of attachments.
    """

    def __init__(self, path: str) -> None:
        """Read the file. Raises ValidationError, which names the line; OSError."""
        self._path = path
        self._offsets: dict[str, int] = {}
        lines: dict[str, int] = {}
        with open(path, "rb") as file:
            offset = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    id = _entry(line, f"{path}, line {number}").id
                    if id in lines:
                        raise ValidationError(f"{path}, line {number}: the id {id!r} is on line {lines[id]}, too.")
                    lines[id], self._offsets[id] = number, offset
                offset += len(line)

    @property
    def ids(self) -> set[str]:
        """The ids."""
        return set(self._offsets)

    def without(self, done: set[str]) -> Iterator[Entry]:
        """Yield those whose ids aren't among these. Raises OSError, ValidationError: the file has changed."""
        with open(self._path, "rb") as file:
            for id, offset in self._offsets.items():
                if id not in done:
                    file.seek(offset)
                    entry = _entry(file.readline(), self._path)
                    if entry.id != id:
                        raise ValidationError(f"{self._path} has changed since the batch began.")
                    yield entry


def _entry(line: bytes, where: str) -> Entry:
    try:
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{where}: not JSON in UTF-8: {error}.") from None
    if not isinstance(found, dict):
        raise ValidationError(f'{where}: must be an object such as {{"id": "1", "code": "print(1)"}}.')
    id = found.pop(_FIELD, None)
    if not isinstance(id, str) or not 1 <= len(id) <= LONGEST_ID:
        raise ValidationError(f"{where}: 'id' must be a string of 1 to {LONGEST_ID} characters.")
    try:
        id.encode("utf-8")
    except UnicodeEncodeError:
        raise ValidationError(f"{where}: 'id' has a lone surrogate.") from None
    return Entry(id, found)


class Results:
    """A file of results: one line for each id, whatever dies. Thread-safe.

    Attributes:
        done: the ids that have a line.
    """

    def __init__(self, path: str) -> None:
        """Open or make the file; a last line that was cut off is removed, and its job done again.

        Raises:
            ValidationError: a line isn't a result, or another batch is writing to the file. OSError.
        """
        self.done: set[str] = set()
        self._lock = threading.Lock()
        self._failure = ""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(path)
        except BlockingIOError:
            self.close()
            raise ValidationError(f"Another batch is writing to {path}.") from None
        except BaseException:
            self.close()
            raise

    def _read(self, path: str) -> None:
        whole = 0
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                if line.strip():
                    self.done.add(_entry(line, f"{path}, line {number}, which should be a result").id)
        os.ftruncate(self._fd, whole)

    def add(self, id: str, document: bytes) -> None:
        """Write the answer to a job, a JSON object without line breaks.

        Raises OSError: such as a full disk. Then the file has whole lines only, and gets no further ones.
        """
        line = b'{"id": ' + json.dumps(id).encode("ascii") + b", " + document[1:] + b"\n"
        with self._lock:
            if id in self.done:
                return
            if self._failure:
                raise OSError(self._failure)
            before = os.fstat(self._fd).st_size
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError as error:
                # Behind half a line, which only a last one may be, no other may come, even if this fails as well.
                self._failure = str(error)
                os.ftruncate(self._fd, before)
                raise
            self.done.add(id)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
