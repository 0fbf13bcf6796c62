"""The importer of built-in modules gives `posix` back, which lists no root directory.

danger: read or write the host's files
public: yes
control: ok
landlock: EACCES
all: EACCES
"""

POLICY = True


def attack(target):
    (importer,) = [kind for kind in object.__subclasses__() if kind.__name__ == "BuiltinImporter"]
    importer.load_module("posix").listdir("/")
