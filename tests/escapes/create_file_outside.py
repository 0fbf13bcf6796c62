"""A run creates no file outside its directory, not even where everybody may.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("%s/made-%d" % (target["open_directory"], os.getpid()), os.O_WRONLY | os.O_CREAT))
