"""Every setting in one table, and the one frozen `Config` made of it from defaults, environment and flags.

The only module that reads the environment. A setting that is unknown, empty or malformed is an error that names it:
nothing falls back to "no restriction". Flags win over variables, variables over defaults.
"""

from __future__ import annotations

import argparse
import dataclasses
import ipaddress
import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Union

from pyexec.authority import parse_authority
from pyexec.errors import ConfigError
from pyexec.job import Budget

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

KEY_VARIABLE = "PYTHON_EXE_KEY"
PREFIX = "PYEXEC_"
MIB = 1024 * 1024
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")
_HOST_NAME = re.compile(r"[a-z0-9._-]+\Z")

DEFAULT_MODULES = tuple(
    "numpy PIL reportlab fpdf math statistics decimal random datetime time string re textwrap json ast base64 hashlib"
    " uuid secrets collections itertools functools operator copy pprint typing fractions numbers cmath calendar"
    " zoneinfo unicodedata bisect heapq array enum dataclasses abc contextlib types io csv struct binascii zlib"
    " difflib html traceback warnings __future__ sys".split()
)
DEFAULT_PROXIES = "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"


# What Kubernetes and Docker's links tell every container about a service named `pyexec`: no settings of ours. All but
# the first is known by its name; PYEXEC_PORT is a setting as well, and the service's only if it is an address.
_SERVICE_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://[0-9A-Za-z.:\[\]-]+:[0-9]+")
_SERVICE_NAME = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9][A-Z0-9_]*)?|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?"
)


def _number(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("must be a %s" % ("whole number" if kind is int else "number")) from None
        if not low <= value <= high:
            raise ValueError("must be %s to %s" % (low, high))
        return value

    return parse


def _metrics_port(text: str) -> Optional[int]:
    return None if text == "none" else int(_port(text))


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _origin(text: str) -> Optional[str]:
    if text == "none":
        return None
    # Not "null", which is the origin of every sandboxed frame and local file.
    if text != "*" and (not _ORIGIN.match(text) or re.match(r"http:.*:80\Z|https:.*:443\Z", text)):
        raise ValueError("must be an origin as browsers write it, like https://app.example.org, or * or none")
    return text


def _host_names(text: str) -> Tuple[str, ...]:
    words, names = _words(text), []
    if words == ("none",):
        return ()
    for word in words:
        try:
            found = parse_authority(word)
        except ValueError:
            raise ValueError("%r is not a host name" % word) from None
        if found.port is not None:
            raise ValueError("%r has a port; any will do" % word)
        if word == "none" or not (found.is_address or _HOST_NAME.match(found.host)):
            raise ValueError("%r is not a host name" % word)
        names.append(found.host)
    if not names:
        raise ValueError("must name a host, or be none")
    return tuple(names)


def _words(text: str) -> Tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _modules(text: str) -> Tuple[str, ...]:
    names = _words(text)
    for name in names:
        if not name.isidentifier():
            raise ValueError("%r is not a module's top-level name" % name)
    return names


def networks(text: str) -> Tuple[Network, ...]:
    """Return the address ranges in a list separated by spaces or commas; an empty list trusts nobody.

    Raises:
        ValueError: one of them is no address range.
    """
    return tuple(ipaddress.ip_network(word) for word in _words(text))


@dataclass(frozen=True)
class Setting:
    """One row of the table: a field of `Config`, its default as one would write it, how to read it, what it does."""

    name: str
    default: str
    parse: Callable[[str], Any]
    help: str

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()


_count = _number(int, 1, 1_000_000)
_size = _number(int, 1, 1 << 40)
_seconds = _number(float, 0.1, 86400)
_port = _number(int, 0, 65535)

SETTINGS: Tuple[Setting, ...] = (
    Setting("host", "127.0.0.1", _text, "address to listen on"),
    Setting("port", "5000", _port, "port to listen on; 0 takes a free one"),
    Setting(
        "metrics_port", "none", _metrics_port, "port of the loopback for /metrics, which the public port then lacks"
    ),
    Setting("rate_per_minute", "5", _count, "requests a minute for a caller, which is also the burst"),
    Setting("rate_per_day", "30", _count, "requests a day (UTC) for a caller"),
    Setting("max_runs", "5", _number(int, 1, 256), "scripts running at once on the whole server"),
    Setting("max_callers", "100000", _count, "callers remembered; the longest unseen is forgotten first"),
    Setting("trusted_proxies", DEFAULT_PROXIES, networks, "address ranges whose X-Forwarded-For is believed"),
    Setting("wall_s", "10", _number(float, 0.1, 3600), "seconds a script may run"),
    Setting("memory_bytes", str(512 * MIB), _size, "memory a run may use, beyond the loaded libraries"),
    Setting("processes", "10", _number(int, 0, 1000), "child processes of an admin script"),
    Setting("output_bytes", str(MIB), _size, "stdout, and stderr, before they are cut off"),
    Setting("returned_file_bytes", str(8 * MIB), _size, "size of a returned file"),
    Setting("workdir_bytes", str(64 * MIB), _size, "size of a run's directory, and of any file a run writes"),
    Setting("workdir_files", "1000", _count, "files in a run's directory"),
    Setting("code_chars", "2000", _count, "characters of code"),
    Setting("attachments", "2", _number(int, 0, 100), "attached files"),
    Setting("attachment_bytes", str(8 * MIB), _size, "size of an attached file"),
    Setting("stdin_bytes", str(8 * MIB), _size, "size of the standard input"),
    Setting("return_files", "10", _number(int, 0, 1000), "names of files to return"),
    Setting("body_bytes", str(48 * MIB), _size, "size of a request body"),
    Setting(
        "bodies_bytes",
        str(256 * MIB),
        _size,
        "size of all request bodies in memory at once, beyond the first 64 KiB of each",
    ),
    Setting("answers_bytes", str(256 * MIB), _size, "size of all answers in memory at once, until they are written"),
    Setting("max_connections", "256", _count, "connections held open at once"),
    Setting("peer_connections", "64", _count, "connections of one address that is no trusted proxy"),
    Setting("header_timeout_s", "10", _seconds, "seconds for a request's header to arrive"),
    Setting(
        "body_timeout_s", "30", _seconds, "seconds for a request's body to arrive, and one more for each 64 KiB of it"
    ),
    Setting("idle_timeout_s", "75", _seconds, "seconds a kept connection may be idle"),
    Setting("write_timeout_s", "30", _seconds, "seconds for an answer to be taken, and one more for each 64 KiB of it"),
    Setting("cors_origin", "none", _origin, "origin whose pages may use this server from a browser; * is any"),
    Setting(
        "allowed_hosts",
        "none",
        _host_names,
        "host names to answer to, beside addresses; none: localhost on the loopback, else any",
    ),
    Setting("server_timing", "0", _number(int, 0, 1), "1 says in each answer, as Server-Timing, where its time went"),
    Setting("modules", " ".join(DEFAULT_MODULES), _modules, "modules that public scripts may import"),
    Setting(
        "uid_base", "60600", _number(int, 1, 2**31), "first uid for runs, if root; each server on a host needs its own"
    ),
    Setting(
        "work_dir", tempfile.gettempdir(), _text, "where runs get their directories, where no tmpfs can be mounted"
    ),
    Setting("expect_layers", "", _words, "layers that must be on, or the server does not start"),
)
_BUDGET_FIELDS = tuple(item.name for item in dataclasses.fields(Budget))


@dataclass(frozen=True)
class Config:
    """The settings, checked; see `SETTINGS` for what each means. `admin_key` never shows in a repr."""

    host: str
    port: int
    metrics_port: Optional[int]
    rate_per_minute: int
    rate_per_day: int
    max_runs: int
    max_callers: int
    trusted_proxies: Tuple[Network, ...]
    code_chars: int
    attachments: int
    attachment_bytes: int
    stdin_bytes: int
    return_files: int
    body_bytes: int
    bodies_bytes: int
    answers_bytes: int
    max_connections: int
    peer_connections: int
    header_timeout_s: float
    body_timeout_s: float
    idle_timeout_s: float
    write_timeout_s: float
    cors_origin: Optional[str]
    allowed_hosts: Tuple[str, ...]
    server_timing: int
    modules: Tuple[str, ...]
    uid_base: int
    work_dir: str
    expect_layers: Tuple[str, ...]
    budget: Budget
    admin_key: Optional[str] = field(default=None, repr=False)

    @classmethod
    def of(cls, **given: Any) -> Config:
        """Return the defaults with some settings given as values, for embedding and tests; reads no environment.

        Raises:
            ConfigError: a name is unknown or a value would be refused on the command line.
        """
        key = given.pop("admin_key", None)
        texts = {name: value if isinstance(value, str) else _as_text(value) for name, value in given.items()}
        return _build(texts, {}, key)


def _as_text(value: Any) -> str:
    if value is None:
        return "none"
    return " ".join(str(item) for item in value) if isinstance(value, (tuple, list)) else str(value)


def _build(texts: Mapping[str, str], origins: Mapping[str, str], key: Optional[str]) -> Config:
    """Return the Config of setting name → text; `origins` says how the user wrote each name."""
    values: Dict[str, Any] = {}
    unknown = sorted(set(texts) - {setting.name for setting in SETTINGS})
    if unknown:
        raise ConfigError("There is no setting %s. See python -m pyexec --help." % ", ".join(unknown))
    for setting in SETTINGS:
        text = texts.get(setting.name, setting.default)
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            name = origins.get(setting.name, setting.name)
            raise ConfigError("%s=%r is not valid: %s. It is: %s." % (name, text, error, setting.help)) from None
    budget = Budget(**{name: values.pop(name) for name in _BUDGET_FIELDS})
    if key is not None and not key.strip():
        key = None  # an empty key is no key: nobody is an admin
    if key is not None:
        try:
            key.encode("utf-8")
        except UnicodeEncodeError:
            raise ConfigError("%s is not valid UTF-8." % KEY_VARIABLE) from None
    return Config(budget=budget, admin_key=key, **values)


def _of_a_service(variable: str, value: str) -> bool:
    """Say whether a variable describes a service named `pyexec`, in one of the exact forms that orchestrators use."""
    name = variable[len(PREFIX) :]
    if name == "PORT":
        return _SERVICE_ADDRESS.fullmatch(value) is not None
    return _SERVICE_NAME.fullmatch(name) is not None


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give a command-line parser one flag for each setting."""
    for setting in SETTINGS:
        shown = setting.default if len(setting.default) < 40 else "see README"
        parser.add_argument(
            setting.flag,
            dest="setting_" + setting.name,
            metavar="VALUE",
            help="%s (%s; default: %s)" % (setting.help, setting.variable, shown or "none"),
        )


def from_sources(flags: argparse.Namespace, environment: Optional[Mapping[str, str]] = None) -> Config:
    """Return the Config that flags and environment ask for.

    `$PORT`, as hosting platforms set it, stands for the port and, since their routers come from outside, for listening
    on every address; a flag or PYEXEC_ variable for either wins over it. With it, an empty PYEXEC_TRUSTED_PROXIES
    stands for the default. Variables that describe a Kubernetes Service named `pyexec` aren't settings.

    Raises:
        ConfigError: a PYEXEC_ variable is unknown, or a value is empty or malformed.
    """
    given_environment = os.environ if environment is None else environment
    environment = {
        name: value
        for name, value in given_environment.items()
        if not (name.startswith(PREFIX) and _of_a_service(name, value))
    }
    texts: Dict[str, str] = {}
    origins: Dict[str, str] = {}
    if "PORT" in environment:
        texts.update(port=environment["PORT"], host="0.0.0.0")
        origins["port"] = "PORT"
    variables = {setting.variable: setting.name for setting in SETTINGS}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in variables)
    if unknown:
        raise ConfigError("There is no setting %s. See python -m pyexec --help." % ", ".join(unknown))
    for variable, name in variables.items():
        if variable in environment:
            texts[name], origins[name] = environment[variable], variable
    # The image trusts nobody by an empty variable, since who may reach it is not known there; where a platform gives
    # the port its router stands in front. A flag that is empty means nobody even so.
    if "PORT" in environment and not _words(texts.get("trusted_proxies", DEFAULT_PROXIES)):
        del texts["trusted_proxies"]
    for setting in SETTINGS:
        given = getattr(flags, "setting_" + setting.name, None)
        if given is not None:
            texts[setting.name], origins[setting.name] = given, setting.flag
    return _build(texts, origins, environment.get(KEY_VARIABLE))


def template_environment() -> Dict[str, str]:
    """Return the whole environment of the templates and so of every script: nothing of the server's own.

    One BLAS thread, since a process with threads can't be forked safely (OpenBLAS issue 5520).
    """
    threads = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return dict(threads, PATH="/usr/local/bin:/usr/bin:/bin", LANG="C.UTF-8", TZ="UTC", HOME="/work", TMPDIR="/work")
