"""Code that says it is the library's own imports `os` and changes no root.

danger: gain privilege
public: yes
control: ok
control@user: EPERM
namespaces@user: ok
identity: EPERM
seccomp: EPERM
all: EPERM
"""

POLICY = True


def attack(target):
    names = {}
    exec(compile("import os", "<frozen os>", "exec"), names)
    names["os"].chroot(".")
