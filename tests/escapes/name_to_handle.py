"""A run makes no file handle that could be opened past the tree.

danger: read or write the host's files
control: ok
control@container-root: ENOTSUP
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    handle = (ctypes.c_uint32 * 40)(128)
    target["call"]("name_to_handle_at", -100, ctypes.c_char_p(b"."), handle, ctypes.byref(ctypes.c_int()), 0)
