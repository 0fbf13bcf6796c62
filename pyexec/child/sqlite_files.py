"""Where SQLite has its temporary files and journals, in runs without a file tree of their own.

Temporary files. SQLite looks for their directory in the environment once, when it is loaded: in the zygote, for all of
its children, each of which has another directory. But it keeps what `getenv` returned, not a copy. So the zygote puts
the variable into memory of its own, and each child writes its directory there.

Journals. SQLite deletes a journal at the end of each transaction, and a transaction over two files deletes one more.
Where nothing can be deleted a single database truncates its journal instead, and several keep theirs in memory: what
SQLite does after a crash isn't needed for files that go with the run.

Shelves. From Python 3.13 on a new one is a database, whose journal is of the kind that asks who holds a lock; that
works only where each pid is the run's own. Elsewhere new shelves are of another kind, if there is one.

Convenience, not a boundary. The zygote calls `take_variable` and `prefer_other_shelves`, the child `keep_journals`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Any, Callable, Iterator

_VARIABLE = b"SQLITE_TMPDIR="
_LONGEST = 4096  # PATH_MAX, with the null byte
_FACTORY = 6  # the place of this argument among those of `sqlite3.connect`


def take_variable() -> Callable[[str], None]:
    """Make room for the name of the directory, before SQLite is loaded; return what puts one there, in a child.

    Raises:
        OSError: there is no memory for it.
    """
    text = ctypes.create_string_buffer(_VARIABLE, len(_VARIABLE) + _LONGEST)
    if ctypes.CDLL(None).putenv(text):
        raise OSError("no memory for an environment variable")

    def tell(directory: str) -> None:
        value = os.fsencode(directory)[: _LONGEST - 1] + b"\0"
        ctypes.memmove(ctypes.byref(text, len(_VARIABLE)), value, len(value))

    return tell


def prefer_other_shelves() -> None:
    """Have new shelves be databases of SQLite's only if nothing else is installed, for the rest of this process."""
    import dbm  # of no use on other hosts

    known: Any = dbm
    known._names = sorted(known._names, key=lambda name: name == "dbm.sqlite3")


def keep_journals() -> None:
    """Have databases do without deleting, for the rest of this process."""
    sqlite3: Any = sys.modules.get("sqlite3")
    if sqlite3 is None:
        return
    plain, factory = sqlite3.connect, _connection_class(sqlite3)

    def connect(*positional: Any, **named: Any) -> Any:
        if len(positional) < _FACTORY:
            named.setdefault("factory", factory)
        connection = plain(*positional, **named)
        if isinstance(connection, sqlite3.Connection):
            _choose_modes(sqlite3, connection)
        return connection

    connect.__name__ = connect.__qualname__ = "connect"
    connect.__module__, connect.__doc__ = plain.__module__, plain.__doc__
    sqlite3.connect = sqlite3.dbapi2.connect = connect


def _connection_class(sqlite3: Any) -> Any:
    """Return a class of connections that look at the modes again after each statement that may have changed them."""

    class Cursor(sqlite3.Cursor):  # type: ignore[misc]
        def execute(self, sql: Any, *parameters: Any) -> Any:
            found = sqlite3.Cursor.execute(self, sql, *parameters)
            if _may_change_modes(sql):
                _choose_modes(sqlite3, self.connection)
            return found

        def executescript(self, sql: Any) -> Any:
            if not _may_change_modes(sql):
                return sqlite3.Cursor.executescript(self, sql)
            for statement in _statements(sqlite3, sql):
                sqlite3.Cursor.executescript(self, statement)
                if _may_change_modes(statement):
                    _choose_modes(sqlite3, self.connection)
            return self

    class Connection(sqlite3.Connection):  # type: ignore[misc]
        def cursor(self, factory: Any = Cursor) -> Any:
            return sqlite3.Connection.cursor(self, factory)

        # From Python 3.11 on, these don't ask `cursor` for one.
        def execute(self, *arguments: Any) -> Any:
            return self.cursor().execute(*arguments)

        def executescript(self, *arguments: Any) -> Any:
            return self.cursor().executescript(*arguments)

    for cls, known in ((Cursor, sqlite3.Cursor), (Connection, sqlite3.Connection)):
        cls.__module__, cls.__qualname__, cls.__doc__ = known.__module__, known.__qualname__, known.__doc__
    return Connection


def _may_change_modes(sql: Any) -> bool:
    if not isinstance(sql, str):
        return False
    lowered = sql.lower()
    return "attach" in lowered or "journal_mode" in lowered


def _statements(sqlite3: Any, script: str) -> Iterator[str]:
    """Yield the statements of a script, of which a semicolon may be part."""
    part = ""
    for piece in script.split(";"):
        part += piece + ";"
        if sqlite3.complete_statement(part):
            yield part
            part = ""
    if part.strip(" \t\r\n;"):
        yield part


def _choose_modes(sqlite3: Any, connection: Any) -> None:
    """Have each database in a file keep its journal in a way that deletes nothing; see the top of this file."""
    cursor = sqlite3.Cursor(connection)  # one whose rows are no concern of the script's
    # No database, or one that can't be written; a closed connection: for the script to find out.
    with contextlib.suppress(sqlite3.Error):
        rows = cursor.execute("pragma database_list").fetchall()
        names = [_quoted(name) for _, name, path in rows if path]
        mode = "truncate" if len(names) == 1 else "memory"
        for name in names:
            (found,) = cursor.execute(f"pragma {name}.journal_mode").fetchone()
            if found in ("delete", b"delete", "truncate", b"truncate"):
                cursor.execute(f"pragma {name}.journal_mode={mode}").fetchone()


def _quoted(name: str | bytes) -> str:
    text = name.decode() if isinstance(name, bytes) else str(name)  # as the script's `text_factory` has it
    return '"' + text.replace('"', '""') + '"'
