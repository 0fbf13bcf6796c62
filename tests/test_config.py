"""Settings: each as a flag and as a variable, what is refused, what wins, and that nothing means "no restriction"."""

from __future__ import annotations

import argparse
import dataclasses
import fractions
import ipaddress
import os
import pathlib
import re
import subprocess
import sys
from typing import Any, Dict, Mapping, Optional, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FUZZ, ROOT

from pyexec import config, config_sources
from pyexec.config import SETTINGS, Config
from pyexec.errors import ConfigError
from pyexec.job import Budget
from pyexec.runs.environment import zygote_environment

NAMES = [setting.name for setting in SETTINGS]
BY_NAME = {setting.name: setting for setting in SETTINGS}
# A value that is not the default, as one writes it and as the Config holds it.
SAMPLES: Dict[str, Any] = {
    "host": ("::1", "::1"),
    "port": ("8080", 8080),
    "unix_socket": ("/run/pyexec.sock", "/run/pyexec.sock"),
    "metrics_port": ("9100", 9100),
    "max_connections": ("300", 300),
    "peer_connections": ("10", 10),
    "header_timeout_s": ("0.1", 0.1),
    "body_timeout_s": ("86400", 86400.0),
    "idle_timeout_s": ("1.5", 1.5),
    "write_timeout_s": ("2e1", 20.0),
    "body_bytes": ("8", 8),
    "bodies_bytes": ("9", 9),
    "answers_bytes": ("9", 9),
    "rate_per_minute": ("7", 7),
    "rate_per_day": ("1000000", 1000000),
    "max_runs": ("256", 256),
    "queue": ("12", 12),
    "queue_per_address": ("32", 32),
    "queue_s": ("2.5", 2.5),
    "keys_file": ("/etc/pyexec/keys", "/etc/pyexec/keys"),
    "max_callers": ("1", 1),
    "wall_s": ("0.5", 0.5),
    "memory_bytes": ("1073741824", 1 << 30),
    "processes": ("0", 0),
    "threads": ("0", 0),
    "output_bytes": ("1", 1),
    "returned_file_bytes": ("2", 2),
    "workdir_bytes": ("3", 3),
    "workdir_files": ("4", 4),
    "code_chars": ("5", 5),
    "attachments": ("0", 0),
    "attachment_bytes": ("6", 6),
    "stdin_bytes": ("7", 7),
    "return_files": ("0", 0),
    "mcp_chars": ("1000", 1000),
    "modules": ("json, math", ("json", "math")),
    "preload": ("scipy.stats a.b", ("scipy.stats", "a.b")),
    "data": ("a=/usr b-2=/tmp/.", (("a", "/usr"), ("b-2", "/tmp"))),
    "trusted_proxies": ("192.0.2.0/24, 2001:db8::/32", ("192.0.2.0/24", "2001:db8::/32")),
    "proxy_hops": ("2", 2),
    "client_header": ("CF-Connecting-IP", "CF-Connecting-IP"),
    "charge_once": ("1", 1),
    "allowed_hosts": ("Example.org, a_b.c.", ("example.org", "a_b.c")),
    "cors_origin": ("https://example.org", "https://example.org"),
    "uid_base": ("100000", 100000),
    "work_dir": ("/var/tmp", "/var/tmp"),
    "expect_layers": ("seccomp landlock", ("seccomp", "landlock")),
    "renew_s": ("7200", 7200.0),
    "drain_s": ("20", 20.0),
    "server_timing": ("1", 1),
}
LISTS = ("trusted_proxies", "modules", "preload", "data", "expect_layers")  # an empty one is an empty one
TEXTS = ("host", "unix_socket", "client_header", "cors_origin", "allowed_hosts", "work_dir", "keys_file")
NONE = ("unix_socket", "metrics_port", "rate_per_minute", "rate_per_day", "keys_file", "proxy_hops", "client_header")
NONE += ("cors_origin", "renew_s")  # take "none" for None
FRACTIONS = ("queue_s", "renew_s", "drain_s", "wall_s", "header_timeout_s", "body_timeout_s", "idle_timeout_s")
FRACTIONS += ("write_timeout_s",)
NUMBERS = [name for name in NAMES if name not in LISTS + TEXTS]
SIZES = [name for name in NAMES if name.endswith("_bytes")]
UNITS = {"k": 10, "m": 20, "g": 30}  # of sizes, as powers of two


PARSER = argparse.ArgumentParser()
config_sources.add_flags(PARSER)


def from_sources(arguments: Sequence[str] = (), environment: Optional[Mapping[str, str]] = None) -> Config:
    return config_sources.from_sources(PARSER.parse_args(list(arguments)), environment or {})


def value_of(found: Config, name: str) -> Any:
    """Return a setting's value, wherever the Config keeps it; address ranges as texts."""
    value = getattr(found.budget if name in Budget.__dataclass_fields__ else found, name)
    return tuple(map(str, value)) if name == "trusted_proxies" else value


def values_of(found: Config) -> Dict[str, Any]:
    return {name: value_of(found, name) for name in NAMES}


DEFAULTS = values_of(from_sources())


def test_the_contracts_defaults() -> None:
    found = from_sources()
    assert (found.rate_per_minute, found.rate_per_day, found.max_runs) == (5, 30, 5)
    assert (found.code_chars, found.attachments, found.return_files) == (2000, 2, 10)
    assert found.attachment_bytes == found.stdin_bytes == found.budget.returned_file_bytes == 8 * 1024 * 1024
    assert found.budget == Budget(10.0, 512 << 20, 10, 32, 1 << 20, 8 << 20, 64 << 20, 1000)
    assert (found.host, found.cors_origin, found.admin_key) == ("127.0.0.1", None, None)
    assert [str(item) for item in found.trusted_proxies] == config.DEFAULT_PROXIES.split()
    assert found == Config.of()


def test_the_contracts_modules() -> None:
    expected = set(
        "numpy PIL reportlab fpdf math statistics decimal random datetime time string re textwrap json ast base64"
        " hashlib uuid secrets collections itertools functools operator copy pprint typing fractions numbers cmath"
        " calendar zoneinfo unicodedata bisect heapq array enum dataclasses abc contextlib types io csv struct"
        " binascii zlib gzip bz2 lzma zipfile tarfile tempfile pathlib glob fnmatch shutil difflib html xml urllib"
        " email mimetypes configparser tomllib pickle shelve sqlite3 logging argparse traceback warnings inspect"
        " timeit unittest doctest queue threading concurrent asyncio sched graphlib colorsys ipaddress locale gettext"
        " platform codecs builtins copyreg weakref keyword hmac fileinput gc atexit errno stat shlex contextvars"
        " reprlib getopt optparse cProfile profile pstats tracemalloc linecache http wave plistlib quopri cmd tokenize"
        " token symtable dis __future__ sys".split()
    )
    assert set(from_sources().modules) == expected


def test_a_queue_needs_a_connection_for_each_that_waits() -> None:
    assert Config.of(queue=250).queue == 250
    with pytest.raises(ConfigError, match="queue=251 is not valid: .* max_runs=5 .* max_connections=256"):
        Config.of(queue=251)
    assert Config.of(max_connections=2, max_runs=5).queue == 0  # where nobody waits, nothing is asked


def test_every_setting_has_a_sample() -> None:
    assert list(SAMPLES) == NAMES
    assert not [name for name in NAMES if SAMPLES[name][1] == DEFAULTS[name]]


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_as_flag_and_as_variable(name: str) -> None:
    text, value = SAMPLES[name]
    expected = dict(DEFAULTS, **{name: value})
    flag = "--" + name.replace("_", "-")
    assert values_of(from_sources([flag, text])) == expected
    assert values_of(from_sources([flag + "=" + text])) == expected
    assert values_of(from_sources([], {"PYEXEC_" + name.upper(): text})) == expected
    assert values_of(Config.of(**{name: text})) == expected
    assert values_of(Config.of(**{name: value})) == expected
    assert type(value_of(from_sources([flag, text]), name)) is type(value)


def test_no_port_for_the_metrics() -> None:
    assert from_sources(["--metrics-port", "none"]).metrics_port is None
    assert Config.of(metrics_port=None) == Config.of()
    refuse("metrics_port", "")
    with pytest.raises(ConfigError):
        Config.of(port=None)


def test_all_settings_at_once() -> None:
    environment = {"PYEXEC_" + name.upper(): SAMPLES[name][0] for name in NAMES}
    del environment["PYEXEC_PROXY_HOPS"]  # which excludes another
    expected = {name: SAMPLES[name][1] for name in NAMES}
    assert values_of(from_sources([], environment)) == dict(expected, proxy_hops=None)


@pytest.mark.parametrize("name", NAMES)
def test_flags_win_over_variables_and_variables_over_defaults(name: str) -> None:
    text, value = SAMPLES[name]
    flag, variable = BY_NAME[name].flag, BY_NAME[name].variable
    default = BY_NAME[name].default
    assert value_of(from_sources([flag, text], {variable: default}), name) == value
    assert value_of(from_sources([flag, default], {variable: text}), name) == DEFAULTS[name]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variable",
    [
        "PYEXEC_PORTS",
        "PYEXEC_",
        "PYEXEC_port",
        "PYEXEC_ADMIN_KEY",
        "PYEXEC_KEY",
        "PYEXEC_MAX_RUN",
        "PYEXEC_HOST ",
        "PYEXEC_BUDGET",
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it(variable: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_sources([], {variable: "1"})
    assert variable in str(caught.value)


def test_an_unknown_name_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.of(max_run=1, prot=2)
    assert "max_run" in str(caught.value) and "prot" in str(caught.value)


def test_variables_of_others_are_not_ours() -> None:
    others = {"PATH": "", "PYTHONPATH": "x", "XPYEXEC_PORT": "x", "pyexec_port": "x", "HOST": "x", "PY_EXEC_PORT": "x"}
    assert values_of(from_sources([], others)) == DEFAULTS


def refuse(name: str, text: str) -> None:
    """Check that a text is refused from every source, each time by the name that the user wrote."""
    flag, variable = BY_NAME[name].flag, BY_NAME[name].variable
    for arguments, environment, shown in (([flag + "=" + text], {}, flag), ([], {variable: text}, variable)):
        with pytest.raises(ConfigError) as caught:
            from_sources(arguments, environment)
        assert str(caught.value).startswith("%s=%r " % (shown, text))
        assert BY_NAME[name].help in str(caught.value)
    with pytest.raises(ConfigError):
        Config.of(**{name: text})


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "text", ["", " ", "x", "nan", "inf", "-inf", "1e400", "0x10", "1 2", "1,5", "-1", "½", "None", "1" * 5000]
)
def test_what_is_no_number_is_an_error(name: str, text: str) -> None:
    refuse(name, text)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_text_is_an_error(name: str, text: str) -> None:
    refuse(name, text)


@pytest.mark.parametrize(
    "text",
    ["https://a.example\r\nSet-Cookie: a=b", "a\nb", "a\rb", "a\0b", "\x7f", "https://ключ.example"]
    # What no browser would ever send as its Origin, so that the setting would do nothing; and what any frame may send.
    + ["https://a.example/", "https://a.example/x", "a.example", "https://A.example", "https://a.example:443"]
    + ["http://a.example:80", "https://u@a.example", "https://a.example https://b.example", "null", "**", "https://"],
)
def test_an_origin_that_no_browser_names_is_an_error(text: str) -> None:
    refuse("cors_origin", text)


@pytest.mark.parametrize("text", ["*", "http://localhost:3000", "https://[::1]:8443", "chrome-extension://abcdef"])
def test_origins(text: str) -> None:
    assert Config.of(cors_origin=text).cors_origin == text
    assert Config.of(cors_origin="none").cors_origin is Config.of(cors_origin=None).cors_origin is None


@pytest.mark.parametrize(
    "text", ["*", "*.example.org", "a.example:5000", "http://a.example", "a/b", "a@b", "bücher.example", ",", "a none"]
)
def test_what_is_no_host_name_is_an_error(text: str) -> None:
    refuse("allowed_hosts", text)


def test_no_host_names() -> None:
    assert Config.of(allowed_hosts="none").allowed_hosts == Config.of(allowed_hosts=None).allowed_hosts == ()
    assert Config.of(allowed_hosts="a [::1] 192.0.2.1").allowed_hosts == ("a", "::1", "192.0.2.1")
    assert Config.of(allowed_hosts="a ::1 192.0.2.1") == Config.of(allowed_hosts="a [::1] 192.0.2.1")


@pytest.mark.parametrize(
    "name, low, high",
    [
        ("port", "0", "65535"),
        ("metrics_port", "0", "65535"),
        ("rate_per_minute", "1", "1000000"),
        ("max_runs", "1", "256"),
        ("wall_s", "0.1", "3600"),
        ("processes", "0", "1000"),
        ("threads", "0", "1000"),
        ("attachments", "0", "100"),
        ("return_files", "0", "1000"),
        ("mcp_chars", "1000", "10000000"),
        ("uid_base", "1", str(2**31)),
        ("header_timeout_s", "0.1", "86400"),
        ("memory_bytes", "1", str(2**40)),
    ],
)
def test_the_bounds_of_numbers(name: str, low: str, high: str) -> None:
    kind = float if name in FRACTIONS else int
    assert value_of(from_sources([BY_NAME[name].flag, low]), name) == kind(low)
    assert value_of(from_sources([BY_NAME[name].flag, high]), name) == kind(high)
    refuse(name, str(kind(high) + 1))
    refuse(name, "0.09" if kind is float else str(int(low) - 1))


@pytest.mark.parametrize("name", [name for name in NUMBERS if name not in FRACTIONS])
def test_a_fraction_is_no_count(name: str) -> None:
    refuse(name, "5.0")
    refuse(name, "1e3")


@pytest.mark.parametrize(
    "text",
    ["x", "1.2.3.4/33", "10.0.0.1/8", "1.2.3", "::/129", "10.0.0.0/8 x", "*", "all", "localhost", "10.0.0.0-10.0.0.9"],
)
def test_what_is_no_address_range_is_an_error(text: str) -> None:
    refuse("trusted_proxies", text)


@pytest.mark.parametrize(
    "text", ["os..path", "*", "1a", "a-b", "json math .os", "json;os", "json os/", "''", "a.if", "import", "+", "-"]
)
def test_what_is_no_module_name_is_an_error(text: str) -> None:
    refuse("modules", text)


@pytest.mark.parametrize("text", ["", " ", ",", " , \n"])
def test_an_empty_list_is_empty_and_nothing_else(text: str) -> None:
    for name in LISTS:
        assert value_of(from_sources([BY_NAME[name].flag + "=" + text]), name) == ()
        assert value_of(from_sources([], {BY_NAME[name].variable: text}), name) == ()
        assert value_of(Config.of(**{name: ()}), name) == ()


@pytest.mark.parametrize("text", ["json,math", "json math", " json\n\tmath ", "json, math,", ",json,,math"])
def test_lists_are_separated_by_spaces_or_commas(text: str) -> None:
    assert Config.of(modules=text).modules == ("json", "math")


def test_data_directories_are_given_one_by_one_or_together(tmp_path: pathlib.Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/usr")
    expected = (("a", "/usr"), ("b", str(tmp_path)))
    assert from_sources(["--data", f"a={link}", "--data", f"b={tmp_path}"]).data == expected
    assert from_sources(["--data", f"a={link},b={tmp_path}"]).data == expected
    assert Config.of(data=[("a", "/usr"), ("b", tmp_path)]).data == expected


@pytest.mark.parametrize(
    "text, words",
    [
        ("a", "'a' is not NAME=DIR"),
        ("=/usr", "'' is not a name"),
        ("a/b=/usr", "'a/b' is not a name"),
        ("..=/usr", "'..' is not a name"),
        ("a=/usr a=/tmp", "the name 'a' appears twice"),
        ("a=/etc/passwd", "'/etc/passwd' is not a directory"),
        ("a=/not/there", "'/not/there' is not a directory"),
    ],
)
def test_what_is_no_data_directory_is_an_error(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_sources(["--data", text])
    assert words in str(caught.value)


def test_one_address_is_a_range() -> None:
    expected = (ipaddress.ip_network("192.0.2.1/32"), ipaddress.ip_network("::1/128"))
    assert Config.of(trusted_proxies="192.0.2.1 ::1").trusted_proxies == expected


# -- values given in Python --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_checked_as_a_value(name: str) -> None:
    """Not printed and parsed again: what is of another type is refused, whatever its text looks like."""

    class Like:
        def __str__(self) -> str:
            return SAMPLES[name][0]

    for value in (Like(), SAMPLES[name][0].encode(), {SAMPLES[name][0]}, True, 1.5j):
        for make in (Config.of, Config):
            with pytest.raises(ConfigError) as caught:
                make(**{name: value})
            assert str(caught.value).startswith("%s=%r is not valid: " % (name, value))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_made_directly_is_checked_and_takes_no_text_for_a_number(name: str) -> None:
    text, value = SAMPLES[name]
    assert values_of(Config(**{name: value})) == dict(DEFAULTS, **{name: value})
    if name not in TEXTS or name == "allowed_hosts":
        with pytest.raises(ConfigError):
            Config(**{name: text})


def test_values_of_other_types_that_mean_the_same() -> None:
    assert Config.of(wall_s=2).wall_s == 2.0 and type(Config.of(wall_s=2).wall_s) is float
    assert Config.of(wall_s=fractions.Fraction(5, 2)).wall_s == 2.5
    assert Config.of(work_dir=pathlib.Path("/var/tmp")).work_dir == "/var/tmp"
    assert Config.of(modules=["json"]).modules == ("json",)
    assert Config.of(trusted_proxies=[ipaddress.ip_network("::1"), "10.0.0.0/8"]) == Config.of(
        trusted_proxies="::1 10.0.0.0/8"
    )


@pytest.mark.parametrize(
    "name, value",
    [("wall_s", float("nan")), ("wall_s", float("inf")), ("wall_s", 10**400), ("max_runs", 5.0), ("max_runs", 0)]
    + [
        ("trusted_proxies", (1,)),
        ("trusted_proxies", "10.0.0.1/8"),
        ("modules", (1,)),
        ("modules", ("os/path",)),
        ("preload", ("",)),
    ]
    + [("expect_layers", ("a b",)), ("expect_layers", ("",)), ("allowed_hosts", ("none",)), ("allowed_hosts", (1,))]
    + [("host", " "), ("cors_origin", "null"), ("port", None), ("modules", None)],
)
def test_a_wrong_value_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{name: value})
    assert str(caught.value).startswith("%s=%r is not valid: " % (name, value))


def test_a_changed_copy_is_checked_and_has_its_own_budget() -> None:
    first = Config.of(wall_s=2, allowed_hosts=None)
    assert (first.budget.wall_s, first.budget) == (2.0, first.budget)
    second = dataclasses.replace(first, wall_s=3)
    assert (first.budget.wall_s, second.budget.wall_s, second.allowed_hosts) == (2.0, 3.0, ())
    with pytest.raises(ConfigError):
        dataclasses.replace(first, wall_s=-3)


@pytest.mark.parametrize("key", [b"5ecret", 5, ("5ecret",), "5ecret\udcff"])
def test_a_key_that_is_no_string_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.of(admin_key=key)
    assert "5" not in str(caught.value).replace("UTF-8", "")


# -- $PORT ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, environment, expected",
    [
        ([], {}, ("127.0.0.1", 5000)),
        ([], {"PORT": "8000"}, ("0.0.0.0", 8000)),
        ([], {"PORT": "8000", "PYEXEC_PORT": "1"}, ("0.0.0.0", 1)),
        ([], {"PORT": "8000", "PYEXEC_HOST": "::1"}, ("::1", 8000)),
        (["--port", "2"], {"PORT": "8000", "PYEXEC_PORT": "1"}, ("0.0.0.0", 2)),
        (["--host", "127.0.0.2"], {"PORT": "8000", "PYEXEC_HOST": "::1"}, ("127.0.0.2", 8000)),
        (["--port", "2", "--host", "h"], {"PORT": "8000"}, ("h", 2)),
    ],
)
def test_the_port_of_a_hosting_platform(arguments: Sequence[str], environment: Dict[str, str], expected: Any) -> None:
    found = from_sources(arguments, environment)
    assert (found.host, found.port) == expected


PRIVATE = tuple(config.DEFAULT_PROXIES.split())


@pytest.mark.parametrize(
    "arguments, environment, expected",
    [
        # as the image sets it: nobody, but for a platform's router, which stands in front where there is a $PORT
        ([], {"PYEXEC_TRUSTED_PROXIES": ""}, ()),
        ([], {"PYEXEC_TRUSTED_PROXIES": " , ", "PORT": "80"}, PRIVATE),
        ([], {"PYEXEC_TRUSTED_PROXIES": "", "PORT": "80"}, PRIVATE),
        # what somebody has named is what is trusted
        ([], {"PORT": "80"}, PRIVATE),
        ([], {"PYEXEC_TRUSTED_PROXIES": "192.0.2.1/32", "PORT": "80"}, ("192.0.2.1/32",)),
        (["--trusted-proxies", ""], {"PYEXEC_TRUSTED_PROXIES": "", "PORT": "80"}, ()),
        (["--trusted-proxies", ""], {"PORT": "80"}, ()),
        (["--trusted-proxies", "192.0.2.1/32"], {"PYEXEC_TRUSTED_PROXIES": "", "PORT": "80"}, ("192.0.2.1/32",)),
    ],
)
def test_whom_the_image_trusts(arguments: Sequence[str], environment: Dict[str, str], expected: Any) -> None:
    assert value_of(from_sources(arguments, environment), "trusted_proxies") == expected


def test_the_images_set_that() -> None:
    with open(os.path.join(ROOT, "Containerfile"), encoding="utf-8") as file:
        lines = [line.split()[1:] for line in file if line.startswith("ENV ")]
    plain, data = (dict(word.split("=", 1) for word in words) for words in lines)
    assert plain == {"PYEXEC_HOST": "0.0.0.0", "PYEXEC_TRUSTED_PROXIES": ""}
    assert data == {"PYEXEC_MODULES": "+data"}
    assert value_of(from_sources([], plain), "trusted_proxies") == ()


@pytest.mark.parametrize("text", ["", " ", "x", "65536", "-1", "80.0", "tcp://10.0.0.1:80"])
def test_a_port_of_a_hosting_platform_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_sources([], {"PORT": text})
    assert str(caught.value).startswith("PORT=%r " % text)


# -- the admin key ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_an_empty_key_is_no_key(key: str) -> None:
    assert from_sources([], {"PYTHON_EXE_KEY": key}).admin_key is None
    assert Config.of(admin_key=key).admin_key is None


@pytest.mark.parametrize("key", ["k", "test key", "ключ", "'\"\\"])
def test_the_key_is_held_and_never_shown(key: str) -> None:
    found = from_sources([], {"PYTHON_EXE_KEY": key})
    assert found.admin_key == key
    shown = Config.of(admin_key="5ecret-key")
    assert "5ecret" not in repr(shown) and "5ecret" not in str(shown) and "admin_key" not in repr(shown)


def test_no_error_shows_the_key() -> None:
    with pytest.raises(ConfigError) as caught:
        from_sources([], {"PYTHON_EXE_KEY": "5ecret-key", "PYEXEC_PORT": "x"})
    assert "5ecret" not in str(caught.value)


def test_a_key_that_is_no_text_is_an_error() -> None:
    # What os.environ makes of bytes that are no UTF-8; no request could ever carry this key.
    with pytest.raises(ConfigError) as caught:
        from_sources([], {"PYTHON_EXE_KEY": "5ecret\udcff"})
    assert "PYTHON_EXE_KEY" in str(caught.value) and "5ecret" not in str(caught.value)


def test_no_flag_takes_the_key() -> None:
    assert [setting.name for setting in SETTINGS if "key" in setting.name] == ["keys_file"]


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_a_config_does_not_change() -> None:
    with pytest.raises(AttributeError):
        Config.of().port = 1  # type: ignore[misc]


def test_the_environment_is_the_processes_own_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PYEXEC_") or name == "PORT"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYEXEC_MAX_RUNS", "9")
    assert config_sources.from_sources(argparse.Namespace()).max_runs == 9
    assert Config.of().max_runs == 5


def test_scripts_get_nothing_of_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_EXE_KEY", "5ecret-key")
    found = zygote_environment()
    assert "PYTHON_EXE_KEY" not in found and "5ecret-key" not in found.values()
    assert found["OPENBLAS_NUM_THREADS"] == "1"


def test_no_library_finds_more_threads_or_processes_than_it_can_have() -> None:
    found = zygote_environment()
    ones = "OMP_NUM_THREADS OMP_THREAD_LIMIT OPENCV_FOR_THREADS_NUM POLARS_MAX_THREADS".split()
    assert {found[name] for name in ones} == {"1"}
    assert found["JOBLIB_MULTIPROCESSING"] == "0"


def test_every_setting_is_explained_by_help() -> None:
    text = " ".join(PARSER.format_help().split())
    for setting in SETTINGS:
        assert setting.flag in text and setting.variable in text and setting.help in text


def test_help_groups_the_settings() -> None:
    _, *parts = re.split(r"^(%s):$" % "|".join(config.GROUPS), PARSER.format_help(), flags=re.MULTILINE)
    assert tuple(parts[::2]) == config.GROUPS
    for name, text in zip(parts[::2], parts[1::2]):
        assert re.findall(r"^  (--[a-z-]+) ", text, re.MULTILINE) == [
            setting.flag for setting in SETTINGS if setting.group == name
        ]


def test_help_shows_defaults_for_people() -> None:
    text = " ".join(PARSER.format_help().split())
    for shown in (
        "--memory-bytes SIZE memory a run may use, beyond the loaded libraries (PYEXEC_MEMORY_BYTES; default: 512 MiB)",
        "(PYEXEC_WALL_S; default: 10)",
        "(PYEXEC_MODULES; default: numpy PIL reportlab and %d more)" % (len(DEFAULTS["modules"]) - 3),
        "(PYEXEC_ALLOWED_HOSTS; default: none)",
        "(PYEXEC_EXPECT_LAYERS; default: empty)",
    ):
        assert shown in text
    assert config.kinds.Size(1, 2).shown(1500000) == "1500000"


@pytest.mark.parametrize("name", NAMES)
def test_a_default_reads_as_itself(name: str) -> None:
    assert value_of(Config.of(**{name: BY_NAME[name].default}), name) == DEFAULTS[name]


def test_settings_are_there_without_a_writable_temporary_directory() -> None:
    program = (
        "import tempfile\n"
        "def fail(): raise FileNotFoundError('No usable temporary directory found')\n"
        "tempfile.gettempdir = fail\n"
        "from pyexec.config import Config\n"
        "print(Config.of().work_dir)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT) == b"/tmp\n"


# -- any text at all --------------------------------------------------------------------------------------------------


def said(name: str, text: str) -> Any:
    """Return what a text says for a setting, found out in another way than the program's; raises ValueError."""
    if name in NONE and text == "none":
        return None
    if name == "allowed_hosts":
        words = text.lower().replace(",", " ").split()
        return tuple(word[:-1] if word.endswith(".") else word for word in words if words != ["none"])
    if name in TEXTS:
        return text.strip()
    if name in LISTS:
        words = tuple(word for part in text.split(",") for word in part.split())
        if name == "data":
            pairs = [word.partition("=") for word in words]
            return tuple((word, os.path.realpath(directory)) for word, _, directory in pairs)
        return tuple(str(ipaddress.ip_network(word)) for word in words) if name == "trusted_proxies" else words
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    if name in SIZES and unit in UNITS:
        return int(number) << UNITS[unit]
    value = float(text)
    if name not in FRACTIONS and value != int(text):
        raise ValueError
    return value


texts = st.one_of(
    st.text(max_size=30),
    st.text(alphabet=" \t0123456789.-+eE_,/:", max_size=20),
    st.integers(-5, 2**41).map(str),
    st.floats().map(str),
    st.sampled_from([text for text, _ in SAMPLES.values()] + [setting.default for setting in SETTINGS]),
    st.tuples(st.integers(0, 2**41), st.sampled_from("kMG")).map(lambda size: "%d%s" % size),
    st.lists(st.ip_addresses().map(str), max_size=3).map(" ".join),
    st.lists(st.sampled_from(["os", "json", "os.path", "*", "10.0.0.0/8", "::/0", "seccomp"]), max_size=4).map(
        ",".join
    ),
)


@settings(FUZZ, max_examples=800)
@given(name=st.sampled_from(NAMES), text=texts)
def test_any_text_is_an_error_or_means_what_it_says(name: str, text: str) -> None:
    try:
        found = values_of(from_sources([], {BY_NAME[name].variable: text}))
    except ConfigError as error:
        # What only other settings make wrong is named as they are.
        assert BY_NAME[name].variable in str(error) or f"{name}=" in str(error)
        return
    value = found.pop(name)
    assert value == said(name, text)
    assert found == {other: DEFAULTS[other] for other in NAMES if other != name}
    # Never "no restriction": an empty text is refused or means nothing at all, a number is finite.
    assert text.strip(" \t\n\r" + "," * (name not in TEXTS)) or value == ()
    assert name in LISTS + TEXTS or value is None or 0 <= value <= 2**40


# What a Service named `pyexec`, with a port named `http`, puts into the environment of every pod of its namespace.
SERVICE = {
    "PYEXEC_SERVICE_HOST": "10.0.0.1",
    "PYEXEC_SERVICE_PORT": "5000",
    "PYEXEC_SERVICE_PORT_HTTP": "5000",
    "PYEXEC_PORT": "tcp://10.0.0.1:5000",
    "PYEXEC_PORT_5000_TCP": "tcp://10.0.0.1:5000",
    "PYEXEC_PORT_5000_TCP_PROTO": "tcp",
    "PYEXEC_PORT_5000_TCP_PORT": "5000",
    "PYEXEC_PORT_5000_TCP_ADDR": "10.0.0.1",
}


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:5000", "udp://10.0.0.1:53", "sctp://[fd00::1]:5000"])
def test_a_kubernetes_service_of_our_name_sets_nothing(address: str) -> None:
    assert from_sources([], dict(SERVICE, PYEXEC_PORT=address)) == Config.of()
    assert from_sources([], dict(SERVICE, PORT="80")).port == 80
    assert from_sources(["--port", "81"], SERVICE).port == 81


@pytest.mark.parametrize(
    "name, value",
    [
        ("PYEXEC_SERVICE", "x"),
        ("PYEXEC_SERVICE_HOSTS", "x"),
        ("PYEXEC_SERVICE_PORTS", "5000"),
        ("PYEXEC_SERVICE_PORT_", "5000"),
        ("PYEXEC_SERVICE_PORT_http", "5000"),
        ("PYEXEC_PORT_5000", "5000"),
        ("PYEXEC_PORT_HTTP_TCP", "tcp://10.0.0.1:5000"),
        ("PYEXEC_PORT_5000_TCP_NAME", "x"),
        ("PYEXEC_PORT_5000_TCP\n", "x"),
        ("PYEXEC_PORT_\u0665_TCP", "x"),
        ("PYEXEC_PORTS", "tcp://10.0.0.1:5000"),
        ("PYEXEC_HOST", ""),
        ("PYEXEC_PORT", ""),
        ("PYEXEC_PORT", "tcp://"),
        ("PYEXEC_PORT", "tcp://10.0.0.1"),
        ("PYEXEC_PORT", "tcp://10.0.0.1:5000\n"),
        ("PYEXEC_PORT", "http://10.0.0.1:5000"),
        ("PYEXEC_RATE_PER_DAY", "tcp://10.0.0.1:5000"),
    ],
)
def test_what_only_resembles_a_service_is_an_error(name: str, value: str) -> None:
    with pytest.raises(ConfigError):
        from_sources([], dict(SERVICE, **{name: value}))


@pytest.mark.parametrize(
    "text, value",
    [("64M", 64 << 20), ("64m", 64 << 20), ("64MB", 64 << 20), ("64 MiB".replace(" ", ""), 64 << 20), ("1K", 1024)]
    + [("2G", 2 << 30), ("1025", 1025), ("1025B", 1025), (" 7 ", 7)],
)
def test_a_size_may_have_a_unit(text: str, value: int) -> None:
    assert Config.of(memory_bytes=text).memory_bytes == value
    assert from_sources(["--memory-bytes", text]).memory_bytes == value


@pytest.mark.parametrize("text", ["64X", "M", "1.5M", "-1M", "64 M", "1e6", "0x10", "1M1", "64MM", "", "none", "٣M"])
def test_what_is_no_size_is_an_error_that_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match="must be a whole number of bytes, or of K, M or G, such as 64M"):
        from_sources(["--memory-bytes=" + text])


def test_sizes_are_written_in_the_largest_unit_that_is_exact() -> None:
    size = config.kinds.Size(1, 1 << 40)
    for value in (1, 1023, 1024, 1536, 1 << 20, (1 << 20) + 1, 3 << 30):
        assert size.read(size.written(value)) == value
    assert [size.written(value) for value in (1536, 512 << 20, 2 << 30)] == ["1536", "512M", "2G"]


@pytest.mark.parametrize("name", ["rate_per_minute", "rate_per_day", "metrics_port"])
def test_none_is_no_limit_and_no_port(name: str) -> None:
    assert value_of(from_sources([BY_NAME[name].flag + "=none"]), name) is None
    assert value_of(Config.of(**{name: "none"}), name) is None
    assert value_of(Config.of(**{name: None}), name) is None
