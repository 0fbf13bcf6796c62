"""A run that corrupts memory with numpy until it runs machine code signals no other process.

danger: see, signal, trace or debug other processes
machine: x86_64
public: yes
control: ok
namespaces: ESRCH
identity@root: EPERM
landlock from ABI 6: EPERM
seccomp: EPERM
all: EPERM
admin: ESRCH
admin@container: EPERM
"""

from corruption import system_call


def attack(target):
    system_call(62, [target["victim"], 0], target["word_fd"])
