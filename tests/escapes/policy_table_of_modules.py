"""The table of loaded modules, which libraries know as `sys.modules`, gives no other process away.

danger: see, signal, trace or debug other processes
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

import enum

POLICY = True


def attack(target):
    enum.sys.modules["os"].kill(target["victim"], 0)
