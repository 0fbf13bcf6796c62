"""Loading at the lowest priority, so that a renewal takes no processor from those that serve; where it can be undone.

A process may always lower its priority, and raise it again only with CAP_SYS_NICE: whoever lacks that loads as usual,
or its runs would be slower for good.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterator

from pyexec.kernel import namespaces

_LOWEST = 19


def is_possible() -> bool:
    """Return whether this process could raise its priority again, by trying it in another one."""
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def there_and_back() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)
        os.setpriority(os.PRIO_PROCESS, 0, before)

    return not namespaces.in_a_child(there_and_back)


@contextlib.contextmanager
def at_low_priority(wanted: bool) -> Iterator[None]:
    """Have the lowest priority inside, if it is wanted. Raises OSError: the one before could not be had again."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if wanted:
        os.setpriority(os.PRIO_PROCESS, 0, _LOWEST)
    try:
        yield
    finally:
        if wanted:
            os.setpriority(os.PRIO_PROCESS, 0, before)
