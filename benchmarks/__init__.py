"""What a run costs compared with the alternatives: `python -m benchmarks` starts pyexec and its rivals.

jobs: the requests. rivals, targets: the servers. load, measure: the timing. layers, single: individual figures. goals,
report, picture: the results. Only ratios within one run mean anything, since the machine is shared.
"""
