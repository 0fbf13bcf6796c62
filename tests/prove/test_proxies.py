"""Each proxy of docs/deployment.md in front of a server, configured as that page says, and asked by clients.

Debian: nginx-light, haproxy, apache2, caddy. Addresses, ports and certificates are the only things that differ.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
from processes import await_that
from servers import RunningServer
from support import ROOT

MIB = 1 << 20
NAME = "pyexec.example.org"
CLIENT = "127.0.0.5"  # of the loopback, and no trusted proxy
FORGED = "8.8.8.8"
PAGE = os.path.join(ROOT, "docs", "deployment.md")

NGINX = """daemon off;
error_log %(work)s/error.log;
pid %(work)s/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path %(work)s/bodies;
    proxy_temp_path %(work)s/answers;
    fastcgi_temp_path %(work)s/fastcgi;
    uwsgi_temp_path %(work)s/uwsgi;
    scgi_temp_path %(work)s/scgi;
%(block)s
}
"""
APACHE = """ServerRoot %(work)s
PidFile %(work)s/apache.pid
ErrorLog %(work)s/error.log
Mutex posixsem
User www-data
Group www-data
Listen %(port)d
%(modules)s
%(block)s
"""
# What a2enmod enables with those that the page names, and what Debian always has.
APACHE_MODULES = "mpm_event authz_core proxy proxy_http headers socache_shmcb ssl unique_id".split()


def _block(language: str) -> str:
    """Return the one configuration in a language that the page shows."""
    with open(PAGE, encoding="utf-8") as file:
        (found,) = re.findall(r"^```%s\n(.*?)^```" % language, file.read(), re.DOTALL | re.MULTILINE)
    return str(found)


def _flags() -> Dict[str, str]:
    """Return the settings with which the page starts the server."""
    with open(PAGE, encoding="utf-8") as file:
        found = re.search(r"^python -m pyexec (--trusted-proxies .*)$", file.read(), re.MULTILINE)
    assert found
    words = found.group(1).split()
    return {words[place][2:].replace("-", "_"): words[place + 1] for place in range(0, len(words), 2)}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Front(NamedTuple):
    """A proxy in front of a server."""

    kind: str
    port: int
    server: RunningServer

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection from a client that has an address of its own."""
        if self.kind == "caddy":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120, source_address=(CLIENT, 0))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=120, source_address=(CLIENT, 0), context=context
        )

    def execute(
        self, document: Any, fields: Tuple[Tuple[str, str], ...] = (), on: Optional[http.client.HTTPConnection] = None
    ) -> Tuple[int, Dict[str, str], Any]:
        """Run a script; return status, fields and document."""
        connection = self.connect() if on is None else on
        body = json.dumps(document).encode()
        headers = dict(fields, Host=NAME, **{"Content-Type": "application/json"})
        connection.request("POST", "/execute", body, headers)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
        if on is None:
            connection.close()
        return found


def _configuration(kind: str, work: str, port: int, server: str, without: str = "") -> List[str]:
    """Write a proxy's configuration, less some lines; return the command that starts it in the foreground."""
    path = os.path.join(work, kind + ".conf")
    language = {"nginx": "nginx", "haproxy": "haproxy", "apache": "apache", "caddy": "caddyfile"}[kind]
    block = _block(language).replace("127.0.0.1:5000", server).replace("/etc/ssl/", work + "/")
    changed = {
        "nginx": ("listen 443 ssl", "listen 127.0.0.1:%d ssl" % port),
        "haproxy": ("bind :443", "bind 127.0.0.1:%d" % port),
        "apache": ("*:443", "*:%d" % port),
        "caddy": (NAME + " {", "http://%s:%d {" % (NAME, port)),
    }[kind]
    assert changed[0] in block
    block = block.replace(*changed)
    if without:
        block = "".join(line for line in block.splitlines(True) if without not in line)
    text = block
    if kind == "nginx":
        text = NGINX % {"work": work, "block": block}
    elif kind == "apache":
        modules = "\n".join("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so" % (m, m) for m in APACHE_MODULES)
        text = APACHE % {"work": work, "port": port, "block": block, "modules": modules}
    elif kind == "caddy":
        text = "{\n\tadmin off\n}\n" + block
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return {
        "nginx": ["nginx", "-c", path],
        "haproxy": ["haproxy", "-db", "-f", path],
        "apache": ["apache2", "-DFOREGROUND", "-f", path],
        "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", path],
    }[kind]


def _certificate(work: str) -> None:
    key, certificate = os.path.join(work, "pyexec.key"), os.path.join(work, "pyexec.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=%s -keyout %s -out %s" % (
        NAME,
        key,
        certificate,
    )
    subprocess.run(command.split(), check=True, stderr=subprocess.DEVNULL)
    with open(key) as source, open(certificate, "a") as target:  # HAProxy wants both in one file
        target.write(source.read())


@pytest.fixture(scope="module", params=["nginx", "haproxy", "apache", "caddy"])
def front(request: pytest.FixtureRequest, works: Callable[[str], str]) -> Iterator[Front]:
    """A server as the page starts it, and a proxy in front of it."""
    kind = request.param
    work = works(kind)
    assert shutil.which({"apache": "apache2"}.get(kind, kind)), "not installed: see the top of this file"
    flags = _flags()
    assert flags == {"trusted_proxies": "127.0.0.1", "allowed_hosts": NAME}
    server = RunningServer(dict(flags, rate_per_minute=1000, rate_per_day=1000, server_timing=1))
    port = _free_port()
    with _running(_configuration(kind, work, port, "127.0.0.1:%d" % server.port), port, work):
        yield Front(kind, port, server)
    assert server.stop() == 0


@pytest.fixture(scope="module")
def works() -> Iterator[Callable[[str], str]]:
    """Make directories for proxies, which they can read as another user, each with a certificate."""
    # Not pytest's own, which every session closes to other users again.
    with tempfile.TemporaryDirectory(prefix="pyexec-proxies-", dir="/var/tmp") as base:
        os.chmod(base, 0o755)

        def make(kind: str) -> str:
            work = os.path.join(base, kind)
            os.mkdir(work, 0o755)
            _certificate(work)
            return work

        yield make


@contextlib.contextmanager
def _running(command: List[str], port: int, work: str) -> Iterator[None]:
    """Run a proxy."""
    proxy = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=work)
    )
    try:
        _await(port, proxy)
        yield
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(30)


def _await(port: int, proxy: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert proxy.poll() is None, "it did not start"
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_client_is_who_it_is_and_not_whom_it_claims_to_be(front: Front) -> None:
    claims = [(name, FORGED) for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP")]
    for fields in ((), tuple(claims)):
        status, _, document = front.execute({"code": "print(1)"}, fields)
        assert (status, document["user_info"]["ip_address"]) == (200, CLIENT)
    assert "counts as one caller" not in front.server.log


def test_its_requests_have_ids_that_it_did_not_choose(front: Front) -> None:
    status, fields, _ = front.execute({"code": "print(1)"}, (("X-Request-ID", "mine"),))
    assert status == 200 and len(fields["x-request-id"]) > 8 and fields["x-request-id"] != "mine"
    # Its line is written behind the answer.
    await_that(lambda: '"request_id": "%s"' % fields["x-request-id"] in front.server.log)


def test_two_large_attachments_and_a_larger_answer(front: Front) -> None:
    content = os.urandom(8 * MIB)
    text = base64.b64encode(content).decode()
    document = {
        "code": "for name in 'ab':\n    open(name + '2', 'wb').write(open(name, 'rb').read()[:4400000])",
        "attachments": [{"filename": name, "content_base_64": text} for name in "ab"],
        "return_files": ["a2", "b2"],
    }
    status, _, answer = front.execute(document)
    assert status == 200
    files = answer["execution_details"]["output_files"]
    assert len(json.dumps(answer)) > 11 * MIB
    assert all(base64.b64decode(files[name]["content_base64"]) == content[:4400000] for name in ("a2", "b2"))


def test_what_the_server_refuses_arrives_as_the_server_said_it(front: Front) -> None:
    text = base64.b64encode(bytes(8 * MIB + 1)).decode()
    status, _, answer = front.execute({"code": "1", "attachments": [{"filename": "a", "content_base_64": text}]})
    assert (status, answer["error_details"]["type"]) == (400, "ValidationError")


def test_an_upload_that_is_too_large_gets_its_answer(front: Front) -> None:
    """Whoever refuses it, the proxy or the server: a status instead of a connection that breaks."""
    connection = front.connect()
    connection.putrequest("POST", "/execute", skip_host=True)
    for name, value in (("Host", NAME), ("Content-Type", "application/json"), ("Content-Length", str(60 * MIB))):
        connection.putheader(name, value)
    connection.endheaders()
    try:
        for _ in range(60):
            connection.send(bytes(MIB))
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        pass  # it may be refused before it is sent; what matters is that the answer can be read all the same
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_in_chunks(front: Front) -> None:
    body = json.dumps({"code": "print(len(input()))", "stdin_data": "x" * 300000}).encode()
    connection = front.connect()
    pieces = (body[start : start + 5000] for start in range(0, len(body), 5000))
    headers = {"Host": NAME, "Content-Type": "application/json"}
    connection.request("POST", "/execute", pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 200 and json.loads(answer.read())["execution_details"]["stdout"] == "300000\n"
    connection.close()


def test_connections_are_kept_on_both_sides(front: Front) -> None:
    """The first request on a connection to the server has a time for its acceptance."""
    connection = front.connect()
    found = [front.execute({"code": "print(1)"}, on=connection) for _ in range(6)]
    assert [status for status, _, _ in found] == [200] * 6
    assert any("accept;" not in fields["server-timing"] for _, fields, _ in found[1:])
    sock = connection.sock
    assert sock is not None  # our own side was kept as well
    connection.close()


def test_the_page_and_its_health(front: Front) -> None:
    for path in ("/", "/health", "/openapi.json"):
        connection = front.connect()
        connection.request("GET", path, headers={"Host": NAME})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
        connection.close()


# ---- What the page warns of ----


def test_a_proxy_that_passes_on_what_clients_sent_is_noticed(start_server, works) -> None:
    """nginx as its own guide shows it: clients choose who they are, and the log says so."""
    work, port = works("guide"), _free_port()
    server = start_server(trusted_proxies="127.0.0.1", allowed_hosts=NAME)
    command = _configuration("nginx", work, port, "127.0.0.1:%d" % server.port, without="X-Forwarded-For")
    with _running(command, port, work):
        front = Front("nginx", port, server)
        assert front.execute({"code": "print(1)"})[2]["user_info"]["ip_address"] == "127.0.0.1"
        assert "so everyone behind 127.0.0.1 counts as one caller" in server.log
        forged = front.execute({"code": "print(1)"}, (("X-Forwarded-For", FORGED),))
        assert forged[2]["user_info"]["ip_address"] == FORGED
        assert "has X-Real-IP %s, but by X-Forwarded-For it comes from %s" % (CLIENT, FORGED) in server.log


def test_attachments_meet_the_limit_of_nginx_unless_it_is_raised(start_server, works) -> None:
    work, port = works("limit"), _free_port()
    server = start_server(trusted_proxies="127.0.0.1", allowed_hosts=NAME)
    command = _configuration("nginx", work, port, "127.0.0.1:%d" % server.port, without="client_max_body_size")
    with _running(command, port, work):
        connection = Front("nginx", port, server).connect()
        connection.request("POST", "/execute", bytes(MIB + 1), {"Host": NAME, "Content-Type": "application/json"})
        assert connection.getresponse().status == 413
        connection.close()


def test_by_a_unix_socket(start_server, works) -> None:
    work, port = works("unix"), _free_port()
    path = os.path.join(work, "pyexec.sock")
    server = start_server(unix_socket=path)
    os.chown(path, -1, grp.getgrnam("www-data").gr_gid)
    command = _configuration("nginx", work, port, "unix:" + path)
    with open(command[-1], "r+", encoding="utf-8") as file:
        text = "user www-data;\n" + file.read()
        file.seek(0)
        file.write(text)
    with _running(command, port, work):
        found = Front("nginx", port, server).execute({"code": "print(1)"}, (("X-Forwarded-For", FORGED),))
        assert (found[0], found[2]["user_info"]["ip_address"]) == (200, CLIENT)
