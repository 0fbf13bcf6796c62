"""Rules of `hints` about sockets, which no script can make: clients, servers, and what uses them unasked.

Each looks at a `Scene` and returns its advice, or None where it doesn't apply; `hint_rules` has their order.
"""

from __future__ import annotations

from pyexec.api.hint_scene import Scene
from pyexec.job import SCRIPT_NAME

# Names that only errors of the network have, and others, which a script may give to a class of its own.
_NO_NETWORK = ("URLError", "gaierror", "MaxRetryError", "NewConnectionError", "NameResolutionError")
_NO_NETWORK_OF_CLIENTS = ("ClientConnectorError", "ClientConnectorDNSError", "APIConnectionError")
_MAYBE_NO_NETWORK = ("ConnectionError", "ConnectError", "ConnectTimeout")
_LISTENS = ("serve_forever(", "start_server(", "start_unix_server(", "create_server(", ".listen(")
_CAN_NOT_LISTEN = "Scripts have no network and can't listen: do without a server, and call its functions directly."


def no_network(scene: Scene) -> str | None:
    """Advise on a connection that could not be made."""
    certain = scene.kind in _NO_NETWORK + _NO_NETWORK_OF_CLIENTS or (
        scene.kind in _MAYBE_NO_NETWORK and scene.file != SCRIPT_NAME
    )
    if not (certain or _no_socket(scene)):
        return None
    return f"Scripts have no network: send the data in {scene.names.attachments}."


def no_server(scene: Scene) -> str | None:
    """Advise on a server, which asyncio starts without a socket where it can't make one."""
    if scene.kind == "IndexError" and ".sockets[" in scene.line and _listens(scene):
        return _CAN_NOT_LISTEN
    of_a_server = _listens(scene) or "socketserver.py" in scene.tail
    return _CAN_NOT_LISTEN if _no_socket(scene) and of_a_server else None


def waiting_server(scene: Scene) -> str | None:
    """Advise on a server that waited until its time was up."""
    return _CAN_NOT_LISTEN if _listens(scene) else None


def no_manager(scene: Scene) -> str | None:
    """Advise an admin on what `multiprocessing` does through sockets: managers, and its server that forks."""
    of_a_manager = scene.kind == "EOFError" and scene.file.endswith("multiprocessing/connection.py")
    if of_a_manager and "multiprocessing/managers.py" in scene.tail:
        what = "A Manager"
    elif _no_socket(scene) and "multiprocessing/" in scene.tail:
        what = "This part of multiprocessing"
    else:
        return None
    instead = (
        "Pool, Process and Queue of get_context('fork')" if scene.own_tree else "ThreadPoolExecutor, or subprocess"
    )
    return f"{what} needs sockets, which scripts can't make: use {instead}."


def _no_socket(scene: Scene) -> bool:
    """Return whether a socket could not be made: for an address in numbers nobody asks a name server first."""
    return scene.kind == "PermissionError" and scene.errno == 1 and scene.file.rpartition("/")[2] == "socket.py"


def _listens(scene: Scene) -> bool:
    return any(call in scene.job.code for call in _LISTENS)
