"""The way from `object` over its subclasses to `os` reads no file of the host.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

POLICY = True


def attack(target):
    (wrapper,) = [kind for kind in object.__subclasses__() if kind.__name__ == "_wrap_close"]
    os = wrapper.__init__.__globals__
    os["close"](os["open"](target["secret"], os["O_RDONLY"]))
