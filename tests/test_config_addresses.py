"""Settings that name a socket, a proxy's field or a store; and that a store's password is never repeated."""

from __future__ import annotations

import argparse
import subprocess
import sys
import urllib.parse
from typing import Any

import pytest
from support import ROOT

from pyexec import config_sources
from pyexec.config import Config
from pyexec.errors import ConfigError


@pytest.mark.parametrize("name", ["CF-Connecting-IP", "Fly-Client-IP", "x-real-ip", "X_Client"])
def test_a_field_keeps_its_name(name: str) -> None:
    assert Config.of(client_header=name).client_header == name


@pytest.mark.parametrize(
    "name", ["", " ", "two words", "X-Client:", "caf\u00e9", "a" * 65, "X-Forwarded-For", "forwarded"]
)
def test_what_is_no_field_with_one_address_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="client_header"):
        Config.of(client_header=name)


@pytest.mark.parametrize("hops", [0, 21, -1, True, 1.5])
def test_hops_are_a_small_number(hops: Any) -> None:
    with pytest.raises(ConfigError, match="proxy_hops"):
        Config.of(proxy_hops=hops)


def test_two_rules_for_one_caller_are_refused() -> None:
    with pytest.raises(ConfigError, match="set one of them"):
        Config.of(proxy_hops=2, client_header="CF-Connecting-IP")


GOOD = [
    "redis://localhost",
    "redis://10.0.0.5:6379/0",
    "redis://:s3cret@store.internal:6379/3",
    "rediss://user:s3cret@store.example:6380/0?ssl_ca_certs=/etc/ssl/store.pem",
    "redis://[2001:db8::1]:6379/0",
    "rediss://h?ssl_cert_reqs=optional&ssl_check_hostname=false&ssl_certfile=/c&ssl_keyfile=/k&ssl_password=s3cret",
]
BAD = [
    "",
    "localhost:6379",
    "http://s3cret@host",
    "unix:///s3cret",
    "redis://",
    "redis://:s3cret@",
    "redis://:s3cret@host:99999/0",
    "redis://:s3cret@host:0/0",
    "redis://:s3cret@host/zero",
    "redis://:s3cret@host/0?socket_timeout=60",
    "redis://:s3cret@host/0?db=1",
    "redis://:s3cret@host/0#s3cret",
    "redis://:s3cret@[::1/0",
    "REDIS://:s3cret@host/0",
    "redis:s3cret",
    "redis://:s3cret@host/0?ssl_ca_certs=/etc/ssl/store.pem",
    "rediss://:s3cret@host/0?ssl_cert_reqs=s3cret",
    "rediss://:s3cret@host/0?ssl_check_hostname=",
    "rediss://:s3cret@host/0?ssl_ca_certs=",
    "rediss://:s3cret@host/0?ssl_min_version=TLSv1_2",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_store_is_named_by_the_environment_alone(url: str) -> None:
    config = config_sources.from_sources(argparse.Namespace(), {"PYEXEC_LIMITS_URL": url})
    assert config.limits_url == url == Config.of(limits_url=url).limits_url
    assert url not in repr(config) and "s3cret" not in repr(config)
    assert Config.of().limits_url is None


@pytest.mark.parametrize("url", BAD)
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="^PYEXEC_LIMITS_URL is not valid: it m") as caught:
        config_sources.from_sources(argparse.Namespace(), {"PYEXEC_LIMITS_URL": url})
    assert "s3cret" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize(
    "password", ["s3/cret", "s3?cret", "s3#cret", "s3[cret", "s3]cret", "/", "16/s3cret", "s3/cr%et"]
)
@pytest.mark.parametrize("user", ["", "user"])
def test_a_password_that_must_be_percent_encoded_is_said_to_be(password: str, user: str) -> None:
    """Else the error would be about what is left of the URL when such a character has cut it off: a port, say."""
    with pytest.raises(ConfigError, match="must have its password percent-encoded: / as %2F, ") as caught:
        Config.of(limits_url=f"redis://{user}:{password}@h:6379/0")
    assert "cret" not in str(caught.value) and caught.value.__suppress_context__
    Config.of(limits_url=f"redis://{user}:{urllib.parse.quote(password, '')}@h:6379/0")


def test_the_command_line_has_no_flag_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyexec", "--limits-url=redis://x"], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 2 and "unrecognized arguments" in done.stderr


def test_a_store_without_redis_py_says_what_to_install(monkeypatch) -> None:
    from pyexec.quota_store.redis import Shared

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match="PYEXEC_LIMITS_URL needs redis-py; install pyexec with its extra `redis`"):
        Shared("redis://:s3cret@host", 10)
