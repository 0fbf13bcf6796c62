"""What the server does differently where a run has no pid namespace of its own.

The processes of such a run form one session and one process group, which they can't leave (`setsid` and `setpgid` are
refused). Killing the first doesn't kill the others: the zygote does that before it reaps the first, so that a report of
its death means the same on every host, and `overseer` does it if the zygote is dead. Nor can they be found by parent,
since orphans are reparented to the zygote: all of `/proc` must be searched.
"""

from __future__ import annotations

import os
from typing import Iterator

from pyexec.runs.processes import Process, process


def members(session: int) -> Iterator[Process]:
    """Yield the processes of a session."""
    for name in os.listdir("/proc"):
        found = process(int(name)) if name.isdigit() else None
        if found is not None and found.session == session:
            yield found
