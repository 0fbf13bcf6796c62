"""What is different in the server where a run has no pid namespace of its own.

Its processes are one session and one group, which none of them can leave (`setsid` and `setpgid` are refused). To kill
the first of them is not to kill all: the zygote does that before it reaps the first, so that word of its death means
the same everywhere, and `overseer` does it for a zygote that can't. And none is found by its parent, since orphans go
to the zygote: a look goes through all of `/proc`.
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
