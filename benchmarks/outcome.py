"""All that one run of the benchmark has found out; what was not asked for is empty."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from benchmarks.jobs import Job
from benchmarks.measure import Results
from benchmarks.processes import Holdings
from benchmarks.single import Memory


@dataclass
class Outcome:
    """The figures, by name of the server; names of servers stand in the order of the tables."""

    jobs: List[Job]
    servers: List[str]
    machine: str
    results: Results = field(default_factory=dict)
    starts: Dict[str, List[float]] = field(default_factory=dict)
    one_process: Optional[int] = None
    memory: Dict[str, Memory] = field(default_factory=dict)
    layers: Dict[str, Tuple[float, float]] = field(default_factory=dict)
    soaks: Dict[str, Tuple[Holdings, Holdings]] = field(default_factory=dict)
    soak_runs: int = 0
