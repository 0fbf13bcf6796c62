"""A batch on Ray with a runner killed in the middle gives every answer once: `python tests/prove_slow/ray_batch.py`.

As an ordinary script, since pytest's processes are no place to start Ray. Needs ray (PyPI) beside pyexec's libraries.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = 300


def main() -> int:
    """Run the batch, kill one of its two runners when some results are there, and run it again for what was cut off."""
    with tempfile.TemporaryDirectory() as work:
        scripts, results = os.path.join(work, "scripts.jsonl"), os.path.join(work, "results.jsonl")
        with open(scripts, "w", encoding="utf-8") as file:
            for number in range(SCRIPTS):
                code = f"import time\ntime.sleep(0.02)\nprint(int(input()) ** 2 + {number})"
                file.write(json.dumps({"id": number, "code": code, "stdin": str(number)}) + "\n")
        command = [sys.executable, os.path.join(ROOT, "deploy", "ray_batch.py"), scripts, results]
        command += ["--runners", "2", "--slots", "1", "--chunk", "10"]
        batch = subprocess.Popen(
            command, env=dict(os.environ, PYTHONPATH=ROOT), stdout=subprocess.PIPE, text=True, cwd=work
        )
        assert batch.stdout is not None
        pids = [int(word) for word in batch.stdout.readline().split()[1:]]
        assert len(pids) == 2, "no runners"
        while not os.path.exists(results) or sum(1 for _ in open(results, encoding="utf-8")) < SCRIPTS // 4:
            assert batch.poll() is None, "it ended too early"
            time.sleep(0.1)
        os.kill(pids[0], signal.SIGKILL)
        said, _ = batch.communicate(timeout=300)
        assert batch.returncode == 0, said
        with open(results, encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        assert sorted(result["id"] for result in found) == list(range(SCRIPTS))
        wrong = [result for result in found if result.get("stdout") != f"{result['id'] ** 2 + result['id']}\n"]
        assert not wrong, wrong[:3]
        # Interrupted in the middle of a line: the same command finishes, and runs nothing again but that.
        with open(results, "r+", encoding="utf-8") as file:
            file.truncate(os.path.getsize(results) - 5)
        again = subprocess.run(
            command, env=dict(os.environ, PYTHONPATH=ROOT), stdout=subprocess.PIPE, text=True, cwd=work
        )
        assert again.returncode == 0 and "results: 1\n" in again.stdout, again.stdout
    print(f"{SCRIPTS} scripts on Ray, one of two runners killed: {len(found)} results, every id once, none wrong")
    return 0


if __name__ == "__main__":
    sys.exit(main())
