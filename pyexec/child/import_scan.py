"""What a script's source says about its imports: which modules it names, and where it is prepared for an ImportError.

Pure, and without recursion: what compiles may still be nested deeply.
"""

from __future__ import annotations

import ast
from typing import Iterator, NamedTuple

# ImportError with its subclasses and superclasses, as a handler names them.
_HANDLED = frozenset("ImportError ModuleNotFoundError ZipImportError Exception BaseException".split())


class Named(NamedTuple):
    """A module that the source names in an import statement or in `__import__("name")`."""

    name: str
    tried: bool  # within a `try` that handles ImportError
    items: tuple[str, ...] = ()  # what a `from` takes from it


def named(tree: ast.AST) -> list[Named]:
    """Return the modules that a source names, in its order; relative imports don't count."""
    found = []
    for node, tried in _walk(tree):
        names: list[str] = []
        items: tuple[str, ...] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module and not node.level else []
            items = tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            value = getattr(node.args[0], "value", None) if node.args else None
            names = [value] if isinstance(value, str) else []
        found += [Named(name, tried, items) for name in names]
    return found


def tried_lines(tree: ast.AST) -> list[range]:
    """Return the lines within a `try` that handles ImportError."""
    bodies = [_tried_body(node) for node, _ in _walk(tree)]
    return [range(body[0].lineno, (body[-1].end_lineno or 0) + 1) for body in bodies if body]


def _walk(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Yield each node in the order of the source, and whether it is within a `try` that handles ImportError."""
    waiting = [(tree, False)]
    while waiting:
        node, tried = waiting.pop()
        yield node, tried
        body = set(map(id, _tried_body(node)))
        waiting += [(child, tried or id(child) in body) for child in ast.iter_child_nodes(node)][::-1]


def _tried_body(node: ast.AST) -> list[ast.stmt]:
    """Return the statements that a `try` with a handler for ImportError tries; none for any other node."""
    if type(node).__name__ not in ("Try", "TryStar"):  # the second from Python 3.11 on
        return []
    for handler in node.handlers:  # type: ignore[attr-defined]
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(kind is None or getattr(kind, "id", getattr(kind, "attr", "")) in _HANDLED for kind in kinds):
            return list(node.body)  # type: ignore[attr-defined]
    return []
