"""What pyexec is compared with: three ways to run a script, behind one and the same plain HTTP server.

    python -m benchmarks.rivals floor|fresh|bubblewrap        says its port

floor       executes the script in the server itself. No isolation whatever: what HTTP, JSON and the script cost
fresh       `python script.py` in a new interpreter, unconfined
bubblewrap  the same inside Debian's bubblewrap, with a file tree and namespaces of its own

The server is `http.server` as its documentation has it, save for what it must not be blamed for: HTTP/1.1, Nagle's
algorithm off, one write an answer, a longer backlog. It speaks the contract's JSON as far as the jobs need it.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, Callable, Optional, Tuple

Result = Tuple[bytes, bytes, int]
Run = Callable[[str, bytes, Optional[str]], Result]

_in_process = threading.Lock()


def floor(code: str, stdin: bytes, directory: str | None) -> Result:
    """Execute the script here. Streams and directory are the process's, so that one script runs at a time."""
    streams = [io.TextIOWrapper(io.BytesIO(data), "utf-8") for data in (stdin, b"", b"")]
    status = 0
    with _in_process:
        home = os.getcwd()
        if directory is not None:
            os.chdir(directory)
        kept = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr = streams
        try:
            exec(compile(code, "script.py", "exec"), {"__name__": "__main__"})
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            status = 1
        finally:
            sys.stdin, sys.stdout, sys.stderr = kept
            os.chdir(home)
    for stream in streams:
        stream.flush()
    return streams[1].buffer.getvalue(), streams[2].buffer.getvalue(), status


def fresh(code: str, stdin: bytes, directory: str | None, wrapper: tuple[str, ...] = ()) -> Result:
    """Start an interpreter for the script."""
    assert directory is not None
    with open(os.path.join(directory, "script.py"), "w", encoding="utf-8") as file:
        file.write(code)
    command = list(wrapper) + [sys.executable, "script.py"]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=directory, timeout=10)
    return done.stdout, done.stderr, done.returncode


def bubblewrap(code: str, stdin: bytes, directory: str | None) -> Result:
    """Start an interpreter inside bubblewrap."""
    assert directory is not None
    return fresh(code, stdin, directory, bubblewrap_command(directory))


def bubblewrap_command(directory: str) -> tuple[str, ...]:
    """Return what comes before the interpreter: a read-only tree of what it needs, and the directory as /work."""
    flags: list[str] = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    flags += ["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
    shown = {"/usr", os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix), sys.prefix}
    for path in sorted(shown):
        flags += ["--ro-bind", path, path]
    for path in ("/bin", "/lib", "/lib64"):
        if os.path.islink(path):
            flags += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            flags += ["--ro-bind", path, path]
    flags += ["--bind", directory, "/work", "--chdir", "/work"]
    return tuple(flags)


def bubblewrap_refusal() -> str | None:
    """Return why bubblewrap can't be compared with here, None if it can."""
    if shutil.which("bwrap") is None:
        return "not installed"
    with tempfile.TemporaryDirectory() as directory:
        stdout, stderr, status = bubblewrap("print(1)", b"", directory)
    return None if (stdout, status) == (b"1\n", 0) else stderr.decode("utf-8", "replace").strip()


RUNS: dict[str, Run] = {"floor": floor, "fresh": fresh, "bubblewrap": bubblewrap}


def answer(request: dict[str, Any], run: Run) -> dict[str, Any]:
    """Carry out one request in the plain, obvious way."""
    attachments, names = request.get("attachments", []), request.get("return_files", [])
    files = {}
    with contextlib.ExitStack() as stack:
        directory = None
        # The floor skips what it doesn't need; otherwise it would not be a lower bound.
        if run is not floor or attachments or names:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
        for attachment in attachments:
            with open(os.path.join(str(directory), attachment["filename"]), "wb") as file:
                file.write(base64.b64decode(attachment["content_base_64"]))
        start = time.monotonic()
        stdout, stderr, status = run(request["code"], request.get("stdin_data", "").encode(), directory)
        duration = time.monotonic() - start
        for name in names:
            with open(os.path.join(str(directory), name), "rb") as file:
                content = file.read()
            files[name] = {"content_base64": base64.b64encode(content).decode(), "size_bytes": len(content)}
    details = {
        "success": status == 0,
        "stdout": stdout.decode("utf-8", "replace"),
        "stderr": stderr.decode("utf-8", "replace"),
        "exit_code": status,
        "execution_duration_sec": duration,
        "output_files": files,
    }
    return {"status": "success", "execution_details": details}


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered: head and body in one write, by the flush at the end
    run: Run

    def do_POST(self) -> None:
        """Answer one request."""
        try:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body, status = json.dumps(answer(request, type(self).run)).encode(), 200
        except Exception:  # noqa: BLE001
            body, status = json.dumps({"status": "error", "trace": traceback.format_exc()}).encode(), 500
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection."""

    request_queue_size = 128


def main() -> None:
    """Serve on a free port, and print it."""
    kind = sys.argv[1]
    handler = type("Handler", (Handler,), {"run": staticmethod(RUNS[kind])})
    server = Server(("127.0.0.1", 0), handler)
    print(f"serving on {server.server_address[1]}", file=sys.stderr, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
