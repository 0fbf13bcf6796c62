"""Random state that was made in the zygote, which all of its children would share.

`random` reseeds itself after a fork; `secrets`, `uuid4` and numpy's default_rng ask the kernel each time. The rest is
discarded in each child, after its layers and before there is any script.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Callable

# The words of a Mersenne Twister, 4 bytes each, come first in the state that numpy gives the address of.
_MT19937_BYTES = 624 * 4


def prepare() -> Callable[[], None]:
    """Discard, in a zygote, what loading libraries has left; return what each of its children calls."""
    numpy_address = _find_numpy_state()
    tempfile, uuid = sys.modules.get("tempfile"), sys.modules.get("uuid")

    def discard() -> None:
        if numpy_address:
            # Each word is random, as after seed(). Calling that would touch 40 pages of numpy, and take 0.5 ms.
            ctypes.memmove(numpy_address, os.urandom(_MT19937_BYTES), _MT19937_BYTES)
        elif "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed(memoryview(os.urandom(32)).cast("I").tolist())
        if tempfile is not None:
            tempfile._name_sequence = None  # type: ignore[attr-defined]
        if uuid is not None:
            uuid._last_timestamp = None  # type: ignore[attr-defined]

    discard()
    return discard


def _find_numpy_state() -> int:
    """Return the address of the words behind `numpy.random.seed`, or 0 if there are none where they should be."""
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is None:
        return 0
    numpy_random.seed()  # also forgets the second of two normal deviates, which isn't part of the words
    try:
        generator = numpy_random.mtrand._rand._bit_generator
        address = int(generator.ctypes.state_address)
        words = generator.state["state"]["key"].astype("uint32").tobytes()
    except (AttributeError, KeyError, TypeError):  # a numpy that is built otherwise
        return 0
    return address if ctypes.string_at(address, _MT19937_BYTES) == words else 0
