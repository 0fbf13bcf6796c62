"""A thread of a run may do no more than its first one, and opens no socket.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""

import os
import socket
import threading


def attack(target):
    found = []

    def open_it():
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
        except OSError as error:
            found.append(error.errno)

    thread = threading.Thread(target=open_it)
    thread.start()
    thread.join()
    if found:
        raise OSError(found[0], os.strerror(found[0]))
