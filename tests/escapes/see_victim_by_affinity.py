"""A run learns by no processor mask that another process exists.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("sched_getaffinity", target["victim"], 128, ctypes.create_string_buffer(128))
