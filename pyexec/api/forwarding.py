"""What looks wrong about a proxy in front, said in the log once for each proxy: whose field is missing or contradicted.

Behind a proxy that doesn't write the field that is believed, honest clients share one quota, and the others choose whom
they claim to be. Nobody notices either until it hurts.
"""

from __future__ import annotations

import threading

from pyexec import log
from pyexec.callers import REAL_IP, Caller, Proxies, parse_address
from pyexec.http1.message import Head

_MOST_PEERS = 100  # there are never many proxies; whoever can add peers without end must not fill the log


class Watch:
    """The peers that have been written about. Thread-safe."""

    def __init__(self, proxies: Proxies) -> None:
        """Start with nothing said."""
        self._proxies = proxies
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()

    def look(self, head: Head, peer: str, caller: Caller) -> None:
        """Look at a request that counts against a caller."""
        if not self._proxies.trust(peer):
            return
        field = self._proxies.field
        if not head.get(field.lower()).strip():
            self._say(
                "missing",
                peer,
                f"a request from {peer} has no {field}, so everyone behind {peer} counts as one caller; if that is a"
                " proxy, see docs/deployment.md, and if none is in front, set --trusted-proxies",
            )
            return
        if self._proxies.header is not None or self._proxies.hops is not None:
            return  # several proxies: the last of them takes the one before it for the client, and says so
        real = parse_address(head.get(REAL_IP.lower()))
        if real is not None and str(real) != caller.address:
            self._say(
                "contradicted",
                peer,
                f"a request from {peer} has {REAL_IP} {real}, but by {field} it comes from {caller.address}; if the"
                f" proxy there doesn't write {field}, clients choose who they are: see docs/deployment.md",
            )

    def _say(self, what: str, peer: str, text: str) -> None:
        with self._lock:
            if (what, peer) in self._said or len(self._said) >= _MOST_PEERS:
                return
            self._said.add((what, peer))
        log.say(text, log.WARNING)
