"""Run a file of untrusted scripts on a Ray cluster, each in a sandbox of its own; there is no HTTP in between.

    python ray_batch.py SCRIPTS.jsonl RESULTS.jsonl [--address auto] [--runners N] [--slots N] [--chunk N]

A line of SCRIPTS is {"id": …, "code": …} and may have "stdin". A line of RESULTS has the id, a verdict (ended, timeout,
resource, forbidden, or lost), exit_code, stdout and stderr. An id that RESULTS already has isn't run again, so the same
command goes on where it was interrupted.

A script may be run more than once: Ray repeats a chunk whose runner died. It does no harm, since a script reaches
nothing outside its run, and RESULTS has one line for each id. A chunk that loses every runner is cut into single
scripts, and a script that by itself loses every runner is "lost", which says nothing about its quality.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import sys
from typing import Any, Dict, Iterator, TextIO

import ray
from ray.exceptions import RayError

ATTEMPTS = 3  # of a chunk, and of a script whose run failed through no fault of its own
CHUNKS_AHEAD = 2  # for each runner; nothing else holds back how much is under way

Script = Dict[str, Any]


@ray.remote(max_restarts=-1, max_task_retries=ATTEMPTS - 1)
class Runner:
    """One sandbox on one machine: its libraries are loaded once, and a script costs a fork."""

    def __init__(self, slots: int, number: int) -> None:
        """Start the sandbox; the number keeps the uids of several runners on a machine apart, if Ray is root there."""
        import pyexec

        self._job = pyexec.Job
        self._sandbox = pyexec.Sandbox(pyexec.Config.of(max_runs=slots, uid_base=1_000_000 + 4096 * number))
        self._threads = concurrent.futures.ThreadPoolExecutor(slots)

    def pid(self) -> int:
        """Return the process, which says that the sandbox is up."""
        return os.getpid()

    def run(self, scripts: list[Script]) -> list[Script]:
        """Return a result for each script, in order."""
        return list(self._threads.map(self._one, scripts))

    def _one(self, script: Script) -> Script:
        stdin = script.get("stdin")
        job = self._job(script["code"], None if stdin is None else stdin.encode())
        for attempt in range(ATTEMPTS):
            try:
                outcome = self._sandbox.run(job)
            except Exception as error:  # noqa: BLE001 - the sandbox's fault, not the script's
                if attempt == ATTEMPTS - 1:
                    return {"id": script["id"], "verdict": "lost", "error": str(error)}
                continue
            return {
                "id": script["id"],
                "verdict": outcome.verdict,
                "exit_code": outcome.exit_code,
                "stdout": outcome.stdout.decode("utf-8", "replace"),
                "stderr": outcome.stderr.decode("utf-8", "replace"),
            }
        raise AssertionError("every attempt returns or goes on")


def done_already(path: str) -> set[Any]:
    """Return the ids in a file of results, whose last line may be cut off; that one is cut away."""
    if not os.path.exists(path):
        return set()
    with open(path, "r+", encoding="utf-8") as file:
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        file.seek(0)
        file.truncate(len(whole.encode("utf-8")))
    return {json.loads(line)["id"] for line in whole.splitlines()}


def chunks(path: str, done: set[Any], size: int) -> Iterator[list[Script]]:
    """Yield the scripts of a file whose ids aren't in `done`, each id once, so many at a time."""
    chunk: list[Script] = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                continue
            script = json.loads(line)
            if script["id"] not in done:
                done.add(script["id"])
                chunk.append(script)
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def carry_out(runners: list[Any], waiting: Iterator[list[Script]], results: TextIO) -> int:
    """Run chunks until there are no more; write each result once and return how many there were."""
    free = runners * CHUNKS_AHEAD
    again: list[list[Script]] = []
    under_way: dict[Any, Any] = {}  # reference → its runner and chunk
    written = 0
    while True:
        while free:
            chunk = again.pop() if again else next(waiting, None)
            if chunk is None:
                break
            runner = free.pop(0)
            under_way[runner.run.remote(chunk)] = runner, chunk
        if not under_way:
            return written
        (ready,), _ = ray.wait(list(under_way), num_returns=1)
        runner, chunk = under_way.pop(ready)
        free.append(runner)
        try:
            found = ray.get(ready)
        except RayError as error:
            if len(chunk) > 1:
                again += [[script] for script in chunk]
                continue
            found = [{"id": chunk[0]["id"], "verdict": "lost", "error": str(error)[:200]}]
        results.writelines(json.dumps(result) + "\n" for result in found)
        results.flush()
        written += len(found)


def main() -> int:
    """Carry out the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts")
    parser.add_argument("results")
    parser.add_argument("--address", help="of the cluster; without it, one is started on this machine")
    parser.add_argument("--runners", type=int, default=1, help="sandboxes in all; Ray spreads them")
    parser.add_argument("--slots", type=int, default=4, help="scripts at once in each, and processors set aside for it")
    parser.add_argument("--chunk", type=int, default=32, help="scripts that are sent together")
    given = parser.parse_args()
    if min(given.runners, given.slots, given.chunk) < 1:
        parser.error("--runners, --slots and --chunk must be at least 1")
    done = done_already(given.results)
    ray.init(address=given.address, include_dashboard=False, log_to_driver=False)
    options = {"num_cpus": given.slots, "scheduling_strategy": "SPREAD"}
    runners = [Runner.options(**options).remote(given.slots, number) for number in range(given.runners)]
    print("runners:", *ray.get([runner.pid.remote() for runner in runners]), flush=True)
    with open(given.results, "a", encoding="utf-8") as results:
        written = carry_out(runners, chunks(given.scripts, done, given.chunk), results)
    print("results:", written, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
