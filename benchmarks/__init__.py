"""What a run costs, next to what it could cost: `python -m benchmarks` starts pyexec and what it is compared with.

jobs: what is asked. rivals, targets: of whom. load, measure: how it is timed. layers, memory: single figures. goals,
report, picture: what is made of it. Only ratios within one run mean anything: the machine is never alone.
"""
