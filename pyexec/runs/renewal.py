"""A second generation of zygotes, made ready while the first serves: another hash seed, another memory layout.

It comes from a nursery of its own, which is executed anew and so sees what has been installed meanwhile. One zygote is
started after the other, gently, and none serves before all are ready and have shown at least the layers and libraries
of those that serve now; otherwise the whole generation is dropped. Used by `rows` alone; it never waits for anything.
"""

from __future__ import annotations

import socket
from typing import Collection, Sequence

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import HostReport, ZygoteKind
from pyexec.runs import requirements
from pyexec.runs.zygote_handles import NurseryHandle, ZygoteHandle


class Renewal:
    """One generation on its way."""

    def __init__(
        self,
        config: Config,
        rows: Sequence[tuple[ZygoteKind, tuple[str, ...]]],
        layers_on: Collection[str],
        started_s: float,
    ) -> None:
        """Start its nursery. Raises OSError.

        Args:
            rows: the kinds to start, each with the names that it is not to load. layers_on: the layers that this
                generation must have.
        """
        self._config, self._layers_on = config, layers_on
        self._left = list(rows)
        self._coming: ZygoteHandle | None = None
        self.started_s = started_s
        self.zygotes: dict[str, ZygoteHandle] = {}  # those that are ready, by kind
        self.nursery = NurseryHandle(config, gently=True)

    @property
    def report(self) -> HostReport:
        """What the nursery said of the host."""
        assert self.nursery.report is not None
        return self.nursery.report

    def ends(self) -> list[socket.socket]:
        """Return the socket on which the next step shows."""
        return [self.nursery.control if self._coming is None else self._coming.control]

    def advance(self, serving: dict[str, ZygoteHandle]) -> bool:
        """Take the next steps that can be taken now; return whether all zygotes are ready.

        Args:
            serving: the zygotes of now, by kind.

        Raises:
            SandboxError, OSError: this generation can't be had, or offers less; says why.
        """
        if self.nursery.report is None:
            self.nursery.receive_report()
            if self.nursery.report is None:
                return False
            requirements.layers_on(self.nursery.report, self._config, self._layers_on)
        while self._coming is not None or self._left:
            if self._coming is None:
                kind, without = self._left[0]
                self._coming = ZygoteHandle(kind.name, self.nursery, without, gently=True)
            if not self._coming.receive_ready():
                return False
            self._check_libraries(self._coming, serving.get(self._coming.kind))
            self.zygotes[self._coming.kind], self._coming = self._coming, None
            del self._left[0]
        return True

    @staticmethod
    def _check_libraries(zygote: ZygoteHandle, before: ZygoteHandle | None) -> None:
        had = set((before.libraries or {}).get("libraries", ())) if before is not None else set()
        lost = sorted(had - set((zygote.libraries or {}).get("libraries", ())))
        if lost:
            raise SandboxError(
                "libraries that could be imported so far can't be loaded now: {}".format(", ".join(lost))
            )

    def due(self) -> float:
        """Return by when the next step must have come."""
        return self.nursery.due if self._coming is None else self._coming.due

    def drop(self) -> None:
        """Give the generation up; return when nothing of it is left."""
        for zygote in [*self.zygotes.values(), *([self._coming] if self._coming is not None else [])]:
            zygote.close()
        self.nursery.end()
        for zygote in [*self.zygotes.values(), *([self._coming] if self._coming is not None else [])]:
            zygote.gone()
