"""The `os` that Pillow has imported makes no directory elsewhere.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

from PIL import Image

POLICY = True


def attack(target):
    os = Image.os
    os.mkdir("%s/made-by-alias-%d" % (target["open_directory"], os.getpid()))
