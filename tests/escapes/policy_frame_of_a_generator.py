"""The frame of a library's generator leads to `os`, which moves nobody to another processor.

danger: see, signal, trace or debug other processes
public: yes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
"""

import calendar

POLICY = True


def attack(target):
    frame = calendar.Calendar().iterweekdays().gi_frame
    os = frame.f_globals["sys"].modules["os"]
    os.sched_setaffinity(target["victim"], range(os.cpu_count()))
