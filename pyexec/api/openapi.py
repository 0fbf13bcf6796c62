"""The OpenAPI 3.1 description of a server: `openapi.json`, whose marks are filled with this server's settings.

What depends on the settings stands in descriptions only, never in a constraint: a client that was generated from one
server's description goes on working when a quota changes. A test holds the file against what the server does.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import Any, Dict

from pyexec import __version__
from pyexec.config import SETTINGS, Config
from pyexec.job import Budget

Schema = Dict[str, Any]

# The settings that GET /about, and so the web page, shows.
PUBLIC_LIMITS = tuple(
    "code_chars attachments attachment_bytes stdin_bytes return_files rate_per_minute rate_per_day max_runs".split()
) + tuple(item.name for item in dataclasses.fields(Budget))

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openapi.json")
_MARK = re.compile(r"\{([a-z_]+)\}")


def limits(config: Config) -> dict[str, Any]:
    """Return the settings that a caller should know, as they are."""
    return {name: getattr(config if hasattr(config, name) else config.budget, name) for name in PUBLIC_LIMITS}


def document(config: Config) -> Schema:
    """Return the description of a server with these settings. Raises OSError: the package is incomplete."""
    with open(FILE, encoding="utf-8") as file:
        text = file.read()
    marks = _marks(config)
    # Inside of strings of JSON, so filled as such.
    filled = _MARK.sub(lambda mark: json.dumps(marks[mark.group(1)])[1:-1], text)
    found: Schema = json.loads(filled)
    if config.metrics_port is not None:
        del found["paths"]["/metrics"]
    return found


def _marks(config: Config) -> dict[str, str]:
    """Return what the marks of the file stand for."""
    found = limits(config)
    helps = {setting.name: setting.help for setting in SETTINGS}
    return {
        **{name: "none" if value is None else f"{value:,}" for name, value in found.items()},
        **{f"help_{name}": helps[name] for name in found},
        "body_bytes": f"{config.body_bytes:,}",
        "version": __version__,
        "limits": "\n".join(f"- `{name}`: {helps[name]}, {value}" for name, value in found.items()),
        "modules": ", ".join(f"`{name}`" for name in config.modules),
    }
