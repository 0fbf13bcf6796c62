"""A run has no page of its own merged with an equal one of somebody else.

danger: meet another run
control: ok
absent: EINVAL
seccomp: EPERM
all: EPERM
why: the next write to a page that was merged takes longer, and tells that somebody has the same
"""

import ctypes
import mmap


def attack(target):
    memory = mmap.mmap(-1, 1 << 16, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    target["call"]("madvise", ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1 << 16, 12)  # MADV_MERGEABLE
