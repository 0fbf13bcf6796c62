"""A run that corrupts memory with numpy until it runs machine code reads no file of the host.

danger: read or write the host's files
machine: x86_64
public: yes
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

from corruption import system_call


def attack(target):
    system_call(2, [target["secret"].encode(), 0], target["word_fd"])
