"""Every setting, once: the frozen `Config`, whose fields carry default, kind, group and help.

A setting that is unknown, empty or malformed is an error that names it; `config_sources` reads flags and variables.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from dataclasses import dataclass, field
from typing import Any, Callable

from pyexec import config_kinds as kinds
from pyexec.config_addresses import FieldName, SocketPath, StoreUrl
from pyexec.config_kinds import MIB, Kind, Origin, OrNone, Seconds, Size, Whole
from pyexec.config_kinds import Network as Network
from pyexec.config_modules import DataDirectories, DottedNames, Modules
from pyexec.errors import ConfigError
from pyexec.job import Budget

KEY_VARIABLE = "PYTHON_EXE_KEY"
PREFIX = "PYEXEC_"
LIMITS_VARIABLE = "PYEXEC_LIMITS_URL"

DEFAULT_MODULES = tuple(
    "numpy PIL reportlab fpdf math statistics decimal random datetime time string re textwrap json ast base64 hashlib"
    " uuid secrets collections itertools functools operator copy pprint typing fractions numbers cmath calendar"
    " zoneinfo unicodedata bisect heapq array enum dataclasses abc contextlib types io csv struct binascii zlib gzip"
    " bz2 lzma zipfile tarfile tempfile pathlib glob fnmatch shutil difflib html xml urllib email mimetypes"
    " configparser tomllib pickle shelve sqlite3 logging argparse traceback warnings inspect timeit unittest doctest"
    " queue threading concurrent asyncio sched graphlib colorsys ipaddress locale gettext platform codecs builtins"
    " copyreg weakref keyword hmac fileinput gc atexit errno stat shlex contextvars reprlib getopt optparse cProfile"
    " profile pstats tracemalloc linecache http wave plistlib quopri cmd tokenize token symtable dis __future__"
    " sys".split()
)
DEFAULT_PROXIES = "127.0.0.0/8 ::1/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"
GROUPS = LISTENING, LIMITS, BUDGET, SCRIPTS, PROXIES, OPERATION = tuple(
    "listening, limits, budget of a run, scripts, proxies, operation".split(", ")
)

networks = kinds.Networks().read
_count = Whole(1, 1_000_000)
_size = Size(1, 1 << 40)
_seconds = Seconds(0.1, 86400)
_port = Whole(0, 65535)


def _temporary_directory() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # nothing is writable here, which matters only where no tmpfs can be mounted
        return "/tmp"


def _setting(default: Any, kind: Kind, group: str, help: str) -> Any:
    return field(default=default, metadata={"kind": kind, "group": group, "help": help})


@dataclass(frozen=True)
class Config:
    """The settings, checked; `SETTINGS` lists them with what each means. `admin_key` never shows in a repr.

    Raises:
        ConfigError: a value would be refused on the command line, too.
    """

    host: str = _setting("127.0.0.1", kinds.Address(), LISTENING, "address to listen on")
    port: int = _setting(5000, _port, LISTENING, "port to listen on; 0 takes a free one")
    unix_socket: str | None = _setting(
        None, OrNone(SocketPath()), LISTENING, "path of a Unix socket to listen on, in place of address and port"
    )
    metrics_port: int | None = _setting(
        None, OrNone(_port), LISTENING, "loopback port for /metrics, which the public port then doesn't serve"
    )
    max_connections: int = _setting(256, _count, LISTENING, "connections open at once")
    peer_connections: int = _setting(
        64, _count, LISTENING, "connections open at once from an address that isn't a trusted proxy"
    )
    header_timeout_s: float = _setting(10.0, _seconds, LISTENING, "seconds for a request's header to arrive")
    body_timeout_s: float = _setting(
        30.0, _seconds, LISTENING, "seconds for a request's body to arrive, plus one for each 64 KiB of it"
    )
    idle_timeout_s: float = _setting(75.0, _seconds, LISTENING, "seconds a kept-alive connection may be idle")
    write_timeout_s: float = _setting(
        30.0, _seconds, LISTENING, "seconds for a client to take an answer, plus one for each 64 KiB of it"
    )
    body_bytes: int = _setting(48 * MIB, _size, LISTENING, "size of a request body")
    bodies_bytes: int = _setting(
        256 * MIB, _size, LISTENING, "total size of the request bodies in memory, beyond the first 64 KiB of each"
    )
    answers_bytes: int = _setting(
        256 * MIB, _size, LISTENING, "total size of the answers in memory that clients have yet to take"
    )

    rate_per_minute: int | None = _setting(
        5, OrNone(_count), LIMITS, "requests a minute for each caller, which is also the burst"
    )
    rate_per_day: int | None = _setting(30, OrNone(_count), LIMITS, "requests a day (UTC) for each caller")
    max_runs: int = _setting(5, Whole(1, 256), LIMITS, "scripts running at once on the whole server")
    queue: int = _setting(0, Whole(0, 10000), LIMITS, "requests that may wait for a slot")
    queue_per_address: int = _setting(2, _count, LIMITS, "requests of one address that may wait for a slot")
    queue_s: float = _setting(5.0, Seconds(0.1, 3600), LIMITS, "seconds that a request may wait for a slot")
    keys_file: str | None = _setting(
        None, OrNone(kinds.Directory()), LIMITS, "file of named keys, each with limits of its own; read again on SIGHUP"
    )
    max_callers: int = _setting(100000, _count, LIMITS, "callers remembered; who wasn't seen for longest is forgotten")

    wall_s: float = _setting(10.0, Seconds(0.1, 3600), BUDGET, "seconds a script may run")
    memory_bytes: int = _setting(512 * MIB, _size, BUDGET, "memory a run may use, beyond the loaded libraries")
    processes: int = _setting(10, Whole(0, 1000), BUDGET, "child processes of an admin script")
    threads: int = _setting(32, Whole(0, 1000), BUDGET, "threads of a script beside the first")
    output_bytes: int = _setting(MIB, _size, BUDGET, "stdout and stderr, each, before they are cut off")
    returned_file_bytes: int = _setting(8 * MIB, _size, BUDGET, "size of each returned file")
    workdir_bytes: int = _setting(64 * MIB, _size, BUDGET, "size of a run's directory, and of any file that it writes")
    workdir_files: int = _setting(1000, _count, BUDGET, "files in a run's directory")

    code_chars: int = _setting(2000, _count, SCRIPTS, "characters of code")
    attachments: int = _setting(2, Whole(0, 100), SCRIPTS, "attached files")
    attachment_bytes: int = _setting(8 * MIB, _size, SCRIPTS, "size of each attached file")
    stdin_bytes: int = _setting(8 * MIB, _size, SCRIPTS, "size of the standard input")
    return_files: int = _setting(
        10, Whole(0, 1000), SCRIPTS, "names and patterns of files to return, and files that come back"
    )
    mcp_chars: int = _setting(
        20000,
        Whole(1000, 10_000_000),
        SCRIPTS,
        "characters of printed text in a result of the MCP tool; the middle of a longer one is left out",
    )
    modules: tuple[str, ...] = _setting(
        DEFAULT_MODULES,
        Modules(DEFAULT_MODULES),
        SCRIPTS,
        "modules that public scripts may import: a whole list, or +NAME and -NAME to change this one",
    )
    preload: tuple[str, ...] = _setting(
        (), DottedNames(), SCRIPTS, "submodules to load ahead of the runs, beside those of well-known libraries"
    )
    data: tuple[tuple[str, str], ...] = _setting(
        (), DataDirectories(), SCRIPTS, "directories that every script may read, as /data/NAME"
    )

    trusted_proxies: tuple[Network, ...] = _setting(
        networks(DEFAULT_PROXIES), kinds.Networks(), PROXIES, "address ranges whose X-Forwarded-For is believed"
    )
    proxy_hops: int | None = _setting(
        None, OrNone(Whole(1, 20)), PROXIES, "the caller is this address from the right of X-Forwarded-For"
    )
    client_header: str | None = _setting(
        None, OrNone(FieldName()), PROXIES, "field in which trusted proxies give the caller's address"
    )
    charge_once: int = _setting(
        0, Whole(0, 1), PROXIES, "1 charges a request that a trusted proxy repeats with its X-Request-ID once"
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        kinds.HostNames(),
        PROXIES,
        "host names to answer to, besides addresses; none: localhost on the loopback, else any",
    )
    cors_origin: str | None = _setting(
        None, OrNone(Origin()), PROXIES, "origin whose web pages may use this server; * allows any"
    )

    uid_base: int = _setting(
        60706, Whole(1, 2**31), OPERATION, "first uid for runs if root; each server on a host needs its own range"
    )
    work_dir: str = _setting(
        _temporary_directory(),
        kinds.Directory(),
        OPERATION,
        "where runs get their directories if no tmpfs can be mounted",
    )
    expect_layers: tuple[str, ...] = _setting(
        (), kinds.Words(), OPERATION, "layers that must be on, or the server does not start"
    )
    renew_s: float | None = _setting(
        3600.0,
        OrNone(Seconds(1, 30 * 86400)),
        OPERATION,
        "seconds after which the interpreters that runs are forked from are replaced by new ones; SIGUSR1 does it now",
    )
    drain_s: float = _setting(
        0.0,
        Seconds(0, 3600),
        OPERATION,
        "seconds from SIGTERM, in which /health says 404 and all else goes on, until the port is closed",
    )
    server_timing: int = _setting(0, Whole(0, 1), OPERATION, "1 adds a Server-Timing field to each answer")

    admin_key: str | None = field(default=None, repr=False)
    limits_url: str | None = field(default=None, repr=False)  # which may have a password in it

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            object.__setattr__(self, setting.name, setting.check(getattr(self, setting.name)))
        object.__setattr__(self, "admin_key", _checked_key(self.admin_key))
        if self.queue and self.queue + self.max_runs >= self.max_connections:
            raise ConfigError(
                f"queue={self.queue} is not valid: each waiting request has a connection, and with"
                f" max_runs={self.max_runs} that leaves none of max_connections={self.max_connections}."
                " Raise --max-connections."
            )
        object.__setattr__(self, "limits_url", _checked_url(self.limits_url))
        if self.proxy_hops is not None and self.client_header is not None:
            raise ConfigError("proxy_hops and client_header each say where the caller's address is; set one of them.")

    @classmethod
    def of(cls, **given: Any) -> Config:
        """Return the defaults with some settings given, for embedding and tests; reads no environment.

        A string is read as on the command line, any other value is taken as it is. Raises ConfigError.
        """
        refuse_unknown(set(given) - set(BY_NAME) - {"admin_key", "limits_url"})
        for name, value in given.items():
            if name in BY_NAME and isinstance(value, str):
                given[name] = BY_NAME[name].read(value, name)
        return cls(**given)

    @functools.cached_property
    def budget(self) -> Budget:
        """What one run may use."""
        return Budget(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Budget)})


@dataclass(frozen=True)
class Setting:
    """One setting, as a user meets it; made of a field of `Config`."""

    name: str
    default_value: Any
    kind: Kind
    group: str
    help: str

    @property
    def default(self) -> str:
        """The default, as one would write it."""
        return self.kind.written(self.default_value)

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.name.upper()

    def read(self, text: str, origin: str) -> Any:
        """Return the value that a text says; `origin` is how the user named the setting. Raises ConfigError."""
        return self._apply(self.kind.read, text, origin)

    def read_each(self, texts: list[str], origin: str) -> Any:
        """Return the value that a repeated flag says: all items of all lists. Raises ConfigError."""
        return self.read(" ".join(texts), origin)

    def check(self, value: Any) -> Any:
        """Return a value given in Python as `Config` holds it. Raises ConfigError."""
        return self._apply(self.kind.check, value, self.name)

    def _apply(self, function: Callable[[Any], Any], value: Any, origin: str) -> Any:
        try:
            return function(value)
        except ValueError as error:
            raise ConfigError(f"{origin}={value!r} is not valid: {error}. Meaning: {self.help}.") from None


SETTINGS = tuple(Setting(row.name, row.default, **row.metadata) for row in dataclasses.fields(Config) if row.metadata)
BY_NAME = {setting.name: setting for setting in SETTINGS}


def refuse_unknown(names: set[str]) -> None:
    """Refuse names that no setting has. Raises ConfigError."""
    if names:
        raise ConfigError(f"There is no setting {', '.join(sorted(names))}; --help lists them all.")


def _checked_key(key: Any) -> str | None:
    """Return the admin key; an empty one is no key, so that nobody is an admin."""
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigError("The admin key must be a string.")
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{KEY_VARIABLE} is not valid UTF-8.") from None
    return key if key.strip() else None


def _checked_url(url: Any) -> str | None:
    """Return the URL of the shared limits; an empty one is an error, since limits that aren't shared are others."""
    try:
        return None if url is None else StoreUrl().check(url)
    except ValueError as error:
        raise ConfigError(f"{LIMITS_VARIABLE} is not valid: it {error}.") from None
