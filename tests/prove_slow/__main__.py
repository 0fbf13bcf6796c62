"""`make prove-slow`: the proofs that take too long for every change; see `docs/prove-slow.md` for what they found.

A proof is a module with NAME, `add_flags(parser)`, `narrowed(options)` and `prove(options)`, which returns a
`report.Section`; it is added to PROOFS.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import Sequence

from tests.prove_slow import batch, image, kernels, places, ray_batch, report, suites

PROOFS = {proof.NAME: proof for proof in (suites, batch, ray_batch, kernels, image)}
REPORT = os.path.join(places.ROOT, "docs", "prove-slow.md")
_NICE = 10


def main(arguments: Sequence[str]) -> int:
    """Make the proofs that are named, all by default; return 0 if every claim held."""
    parser = argparse.ArgumentParser(
        "prove-slow", description="Proofs that take long; each writes its section of docs/prove-slow.md."
    )
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help="of %s (default: all)" % ", ".join(PROOFS))
    parser.add_argument("--report", default=REPORT, help="the file to write into")
    for proof in PROOFS.values():
        proof.add_flags(parser)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.proofs) - set(PROOFS))
    if unknown:
        parser.error("there is no proof %s; there are: %s" % (", ".join(unknown), ", ".join(PROOFS)))
    os.nice(_NICE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started ends as well
    held = True
    for name in options.proofs or PROOFS:
        section = PROOFS[name].prove(options)
        held &= section.held
        print("## %s\n\n%s\n" % (section.title, section.body), flush=True)
        if PROOFS[name].narrowed(options):
            print("prove-slow: %s was narrowed, so nothing is recorded" % name, file=sys.stderr)
        else:
            report.write(options.report, name, section)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
