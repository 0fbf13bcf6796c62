"""The frames of a library's exception lead to `os`, which lowers nobody's priority.

danger: see, signal, trace or debug other processes
public: yes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
"""

import statistics

POLICY = True


def attack(target):
    try:
        statistics.mean([])
    except statistics.StatisticsError as error:
        names = error.__traceback__.tb_next.tb_frame.f_globals
    names["random"]._os.setpriority(0, target["victim"], 0)
