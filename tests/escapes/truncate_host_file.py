"""A run truncates no file of the host.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open(target["secret"], os.O_WRONLY | os.O_TRUNC))
    with open(target["secret"], "w") as file:
        file.write("the server's secret")
