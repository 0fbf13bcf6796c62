"""No run takes a lock that inherits priorities, which have been a way into the kernel (CVE-2014-3153, CVE-2021-3347).

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes

FUTEX_LOCK_PI, FUTEX_PRIVATE_FLAG = 6, 128


def attack(target):
    lock = ctypes.c_uint32()
    target["call"]("futex", ctypes.byref(lock), FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, None, None, 0)
