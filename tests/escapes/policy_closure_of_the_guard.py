"""The real `__import__`, taken out of the guard around it, imports `socket` and connects to nobody.

danger: reach a network
public: yes
control: ok
namespaces: ENETUNREACH
landlock from ABI 4: EACCES
seccomp: EPERM
all: EPERM
"""

POLICY = True


def attack(target):
    cells = [cell.cell_contents for cell in getattr(__import__, "__closure__", None) or ()]
    (original,) = [found for found in cells if getattr(found, "__name__", "") == "__import__"] or [__import__]
    original("socket").create_connection(("127.0.0.1", target["tcp_port"]), 5)
