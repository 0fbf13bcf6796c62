"""A run starts no more threads than its limit says.

danger: outlive the run or bomb with processes
control: ok
without identity@container-user: ok
without landlock@container-user: ok
without seccomp@container-user: ok
all: EAGAIN
all@container-user: ok
without namespaces@root: EAGAIN
without identity@user: EAGAIN
without landlock: EAGAIN
without seccomp: EAGAIN
contained: where nothing counts the threads of one run alone, the watch does, and ends it; tests/system/test_threads.py
why: thread pools and event loops need threads, so that 32 are promised, and no more
"""

import errno


def attack(target):
    import threading

    threading.stack_size(1 << 17)  # the least that arm64's C library takes
    done = threading.Event()
    try:
        for _ in range(60):  # an admin's run may have 32, 10 processes, and two to begin with
            threading.Thread(target=done.wait, daemon=True).start()
    except RuntimeError:
        raise OSError(errno.EAGAIN, "no thread")
    finally:
        done.set()
