"""A directory that a thread swaps for a link, while a file in it is opened, leads nowhere outside.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
seccomp: EPERM
all: ENOENT
all@container: EPERM
admin: ENOENT
admin@container: EACCES
why: a check of names that runs apart from the opening would lose this race
"""

import errno
import os
import threading
import time


def attack(target):
    os.mkdir("inside")
    with open("inside/secret.txt", "w") as file:
        file.write("nothing")
    os.symlink("inside", "way")
    ended = []

    def swap():
        serial = 0
        while not ended:
            try:
                for to in (target["directory"], "inside"):
                    serial += 1
                    os.symlink(to, "next-%d" % serial)
                    os.rename("next-%d" % serial, "way")
            except OSError as error:
                ended.append(error)

    thread = threading.Thread(target=swap)
    thread.start()
    last = None
    began, won = time.monotonic(), False
    # On a busy machine the other thread may get its turn late.
    while not (ended or won) and time.monotonic() - began < (0.3 if last else 8):
        try:
            with open("way/secret.txt") as file:
                won = file.read() != "nothing"
        except OSError as error:
            last = error
    refused = list(ended)
    ended.append(None)
    thread.join()
    if not won:
        raise (refused or [last])[0] or OSError(errno.ETIME, "no link was ever in the way")
