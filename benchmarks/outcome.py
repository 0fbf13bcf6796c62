"""Everything that one benchmark run measured; what was not requested is empty."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.jobs import Job
from benchmarks.measure import Results
from benchmarks.processes import Holdings
from benchmarks.single import Memory


@dataclass
class Outcome:
    """The figures, by name of the server; server names are in the order of the tables."""

    jobs: list[Job]
    servers: list[str]
    machine: str
    results: Results = field(default_factory=dict)
    starts: dict[str, list[float]] = field(default_factory=dict)
    one_process: int | None = None
    memory: dict[str, Memory] = field(default_factory=dict)
    layers: dict[str, tuple[float, float]] = field(default_factory=dict)
    soaks: dict[str, tuple[Holdings, Holdings]] = field(default_factory=dict)
    soak_runs: int = 0
