"""The settings from flags and environment variables, and the key; the only module that reads the environment.

Flags win over variables, variables over defaults, of which a command may have its own.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Any, Mapping

from pyexec import config
from pyexec import config_kinds as kinds
from pyexec.config import BY_NAME, DEFAULT_PROXIES, GROUPS, KEY_VARIABLE, SETTINGS, Config

# What Kubernetes and Docker's links tell every container about a service named `pyexec`; these aren't settings. All
# but PYEXEC_PORT are known by their names; that one is a setting as well, and the service's only if it is an address.
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://[0-9A-Za-z.:\[\]-]+:[0-9]+")
_SERVICE_NAME = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9][A-Z0-9_]*)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?"
)


def _of_a_service(variable: str, value: str) -> bool:
    """Say whether a variable describes a service named `pyexec`, in one of the exact forms that orchestrators use."""
    name = variable[len(config.PREFIX) :]
    return (_SERVICE_ADDRESS.fullmatch(value) if name == "PORT" else _SERVICE_NAME.fullmatch(name)) is not None


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a command-line parser one flag for each setting, in the groups of the settings."""
    for name in GROUPS:
        group = parser.add_argument_group(name)
        for setting in (item for item in SETTINGS if item.group == name):
            group.add_argument(
                setting.flag,
                dest="setting_" + setting.name,
                metavar=setting.kind.metavar,
                action="append" if setting.kind.repeats else "store",
                help=f"{setting.help} ({setting.variable}; default: {setting.kind.shown(setting.default_value)})",
            )


def from_sources(
    flags: argparse.Namespace, environment: Mapping[str, str] | None = None, defaults: Mapping[str, Any] | None = None
) -> Config:
    """Return the Config that flags and environment ask for; `defaults` stand in for those of the settings.

    `$PORT`, as hosting platforms set it, gives the port and, since their routers connect from outside, makes the
    server listen on every address; a flag or PYEXEC_ variable for either wins over it. With it, an empty
    PYEXEC_TRUSTED_PROXIES means the default. What describes a Kubernetes Service named `pyexec` is not a setting.

    Raises:
        ConfigError: a PYEXEC_ variable is unknown, or a value is empty or malformed.
    """
    given = os.environ if environment is None else environment
    ours = {
        name: value
        for name, value in given.items()
        if name.startswith(config.PREFIX) and not _of_a_service(name, value)
    }
    repeated: dict[str, tuple[list[str], str]] = {}
    texts: dict[str, tuple[str, str]] = {}  # name of the setting → text, and how the user named the setting
    if "PORT" in given:
        texts.update(port=(given["PORT"], "PORT"), host=("0.0.0.0", "PORT"))
    config.refuse_unknown(set(ours) - {setting.variable for setting in SETTINGS} - {config.LIMITS_VARIABLE})
    for setting in SETTINGS:
        if setting.variable in ours:
            texts[setting.name] = ours[setting.variable], setting.variable
    # The image trusts nobody, by an empty variable, since any container of its network might connect; a platform that
    # gives the port puts its router in front. An empty flag means nobody all the same.
    if "PORT" in given and not kinds.split(texts.get("trusted_proxies", (DEFAULT_PROXIES, ""))[0]):
        del texts["trusted_proxies"]
    for setting in SETTINGS:
        flag = getattr(flags, "setting_" + setting.name, None)
        if isinstance(flag, list):
            repeated[setting.name] = flag, setting.flag
        elif flag is not None:
            texts[setting.name] = flag, setting.flag
    values = dict(defaults or {})
    values.update({name: BY_NAME[name].read(*found) for name, found in texts.items()})
    values.update({name: BY_NAME[name].read_each(*found) for name, found in repeated.items()})
    return Config(admin_key=_key_of(given), limits_url=given.get(config.LIMITS_VARIABLE), **values)


def _key_of(environment: Mapping[str, str]) -> str | None:
    """Return the admin key, which is UTF-8 whatever the locale has made of its bytes."""
    key = environment.get(KEY_VARIABLE)
    if key is None or environment is not os.environ:
        return key
    return os.fsencode(key).decode("utf-8", "surrogateescape")
