"""A public run starts no thread.

danger: outlive the run or bomb with processes
control: ok
seccomp: EAGAIN
without seccomp: EAGAIN
without seccomp@container-user: ok
all: EAGAIN
admin: ok
contained: threads count as processes do
"""

import errno


def attack(target):
    import threading

    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no thread")
