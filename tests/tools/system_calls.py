"""Every system call of each machine by name, from the kernel headers; `prove/test_headers.py` compares them."""

from __future__ import annotations

import json
import os
from typing import Dict

MACHINES = ("x86_64", "aarch64")

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "syscalls.json"), encoding="ascii") as _file:
    TABLES: Dict[str, Dict[str, int]] = json.load(_file)
