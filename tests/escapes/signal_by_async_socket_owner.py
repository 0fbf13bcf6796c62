"""A run makes nobody the receiver of a descriptor's signals by number and kind.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""

import fcntl
import os
import struct


def attack(target):
    receive, _ = os.pipe()
    fcntl.fcntl(receive, 15, struct.pack("=ii", 1, target["victim"]))
