"""A run that corrupts memory with numpy until it runs machine code gets no socket.

danger: reach a network
machine: x86_64
public: yes
control: ok
seccomp: EPERM
all: EPERM
"""

from corruption import system_call


def attack(target):
    system_call(41, [2, 1, 0], target["word_fd"])
