"""The loader of an allowed library reads no file of the host.

danger: read or write the host's files
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import json

POLICY = True


def attack(target):
    json.__spec__.loader.get_data(target["secret"])
