"""Requirements of the host: what the server itself needs, and which layers must be there before any script runs."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import Collection

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import HostReport
from pyexec.kernel import libc
from pyexec.runs.slots import POOLS

# Uids that neither systemd nor distributions assign and that rootless containers map; see systemd's UIDS-GIDS.md. Runs
# start at the first of these unless --uid-base is given.
_FREE_UIDS = range(60706, 61184)


def layers_on(report: HostReport, config: Config, before: Collection[str]) -> set[str]:
    """Return the layers that zygotes can apply, provided that they suffice.

    Args:
        report: the nursery's. before: the layers that were on when the server started; empty at the start.

    Raises:
        SandboxError: a danger is uncovered, or a layer is missing that was on before or is expected; says what to do.
    """
    bare = [danger for danger in report.dangers if not danger.layers]
    on = set(report.on)
    missing = sorted(set(config.expect_layers) - on)
    reasons = [f"nothing here would stop a script that tries to {danger.name}: {danger.remedy}" for danger in bare]
    lost = sorted(set(before) - on)
    if lost:
        # A probe may fail for lack of memory or processes; the server must not go on with fewer layers.
        reasons.append("layers that were on at the start can't be had now: {}".format(", ".join(lost)))
    if missing:
        why = {status.name: status.detail for status in report.layers}
        said = ["{} ({})".format(name, why.get(name, "there is no such layer; see doctor")) for name in missing]
        reasons.append("expected layers are missing: {}".format(", ".join(said)))
    if reasons:
        raise SandboxError("pyexec does not start on this host. " + "; ".join(reasons) + ".")
    return on


def check_own_means(config: Config) -> None:
    """Check that the server has what it needs itself. Raises SandboxError."""
    try:
        pidfd = libc.syscall("pidfd_open", os.getpid(), 0)
        try:
            libc.syscall("pidfd_send_signal", pidfd, 0, None, 0)
        finally:
            os.close(pidfd)
    except OSError as error:
        reason = f"runs could not be ended: {error.filename}: {error.strerror}; use Linux 5.3 or newer"
        raise SandboxError(f"pyexec does not start on this host. {reason}.") from error
    if os.geteuid() == 0:
        uids = range(config.uid_base, config.uid_base + POOLS * config.max_runs)
        if config.uid_base == _FREE_UIDS.start and uids[-1] not in _FREE_UIDS:
            reason = "%d runs need the uids %d to %d, of which only those up to %d belong to nobody on most hosts"
            advice = "; set --uid-base to the first of as many that are free here, or a lower --max-runs"
            raise SandboxError((reason + advice) % (config.max_runs, uids[0], uids[-1], _FREE_UIDS[-1]))
        for uid in uids:
            with contextlib.suppress(KeyError):
                name = pwd.getpwuid(uid).pw_name
                raise SandboxError(f"Runs would have the uid {uid} of the user {name}; set --uid-base.")
