"""deploy/kubernetes/haproxy.yaml has deploy/haproxy.cfg in it, with nodes by name: `python tests/tools/manifests.py`."""

from __future__ import annotations

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIGURATION = os.path.join(ROOT, "deploy", "haproxy.cfg")
MANIFEST = os.path.join(ROOT, "deploy", "kubernetes", "haproxy.yaml")
_RESOLVERS = """resolvers kubernetes
    parse-resolv-conf
    accepted_payload_size 8192  # some 500 addresses
    hold valid 2s
    hold obsolete 5s

"""
_NODES = "    server-template n 200 pyexec.pyexec.svc.cluster.local:5000 resolvers kubernetes init-addr none"


def configuration() -> str:
    """Return HAProxy's configuration for Kubernetes."""
    with open(CONFIGURATION, encoding="utf-8") as file:
        text = file.read()
    text = "# Made of deploy/haproxy.cfg by tests/tools/manifests.py.\n" + text[text.index("global\n") :]
    # A pod has its user already, and no privilege to take another.
    text = text.replace("    user haproxy\n    group haproxy\n", "", 1)
    # Whoever scrapes is in another pod; the network policy says which.
    text = text.replace("bind 127.0.0.1:8404", "bind :8404", 1)
    text = text.replace("defaults\n", _RESOLVERS + "defaults\n", 1)
    # A node can't be tracked by its place among names, so each backend checks for itself.
    (checked,) = re.findall(r"    default-server check .*\n", text)
    once = checked.replace(" maxconn 4", "")

    def nodes(found: re.Match[str]) -> str:
        most = re.search(r"track .*?( maxconn \d+)", found.group(0))
        tracked = " track " in found.group(0)
        return (once if tracked else "") + _NODES + (most.group(1) if most else "") + "\n"

    return re.sub(r"(?:    server n\d .*\n)+", nodes, text)


def manifest() -> str:
    """Return the manifest with the configuration in it."""
    with open(MANIFEST, encoding="utf-8") as file:
        before, rest = file.read().split("  haproxy.cfg: |\n")
    indented = "".join("    " + line if line.strip() else line for line in configuration().splitlines(True))
    return before + "  haproxy.cfg: |\n" + indented + "---\n" + rest.split("---\n", 1)[1]


if __name__ == "__main__":
    made = manifest()
    with open(MANIFEST, "w", encoding="utf-8") as out:
        out.write(made)
    sys.exit(0)
