"""HTTP as bytes on a socket, without any client library between: a corpus of requests, then what takes more than one.

Each request of the corpus is sent whole, byte by byte, and cut off at several places.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import pytest
from processes import await_that
from servers import ADMIN_KEY, RunningServer
from support import (
    MIB,
    Reply,
    ask,
    check_alive,
    check_reply,
    connect,
    exchange,
    execute,
    holding,
    log_lines,
    parse_replies,
    read_reply,
    read_to_end,
    request,
)

from pyexec.http1 import message

JSON_TYPE = ("Content-Type", "application/json")
RUN = execute({"code": "print(6*7)"})
BODY = b'{"code": "print(6*7)"}'
GET_PATHS = ("/", "/health", "/openapi.json", "/metrics")


class Case(NamedTuple):
    """A request as bytes and its answers: statuses, and the error's type where there is one."""

    raw: bytes
    expected: Sequence[Tuple[int, Optional[str]]]
    methods: Sequence[str] = ()


def line(first: str, *fields: str) -> bytes:
    """Return a head in exactly these words."""
    return ("\r\n".join((first,) + fields) + "\r\n\r\n").encode("latin-1")


def post(*fields: str, body: bytes = BODY) -> bytes:
    """Return a POST to /execute with exactly these fields beside Host and Content-Type."""
    return line("POST /execute HTTP/1.1", "Host: x", "Content-Type: application/json", *fields) + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", fields: Sequence[str] = ()) -> bytes:
    """Return a POST to /execute with these bytes as its chunks, well-formed unless `end` is not."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return post("Transfer-Encoding: chunked", *fields, body=chunks + end)


OK = [(200, None)]
BAD = [(400, "ValidationError")]
NOT_FOUND = [(404, "NotFound")]
NOT_ALLOWED = [(405, "MethodNotAllowed")]
NO_CODING = [(501, "NotImplemented")]
NO_LENGTH = [(411, "LengthRequired")]
TOO_LONG = [(431, "HeadersTooLarge")]
TOO_LARGE = [(413, "PayloadTooLarge")]
WRONG_TYPE = [(415, "UnsupportedMediaType")]
MISDIRECTED = [(421, "MisdirectedRequest")]
VERSION = [(505, "VersionNotSupported")]
PREFLIGHT = [(204, None)]
NOTHING: List[Tuple[int, Optional[str]]] = []
HEALTH = line("GET /health HTTP/1.1", "Host: x")

VALID: Dict[str, Case] = {
    "get": Case(HEALTH, OK),
    "query": Case(line("GET /health?a=b&c HTTP/1.1", "Host: x"), OK),
    "empty query": Case(line("GET /health? HTTP/1.1", "Host: x"), OK),
    "query with a path in it": Case(line("GET /health?u=http://a/b HTTP/1.1", "Host: x"), OK),
    "the page": Case(line("GET / HTTP/1.1", "Host: x"), OK),
    "head": Case(line("HEAD /health HTTP/1.1", "Host: x"), OK, ["HEAD"]),
    "head of the page, then another": Case(line("HEAD / HTTP/1.1", "Host: x") + HEALTH, OK * 2, ["HEAD", "GET"]),
    "empty lines before": Case(b"\r\n\r\n" + HEALTH, OK),
    "HTTP/1.0 needs no host": Case(line("GET /health HTTP/1.0"), OK),
    "HTTP/1.0 with host": Case(line("GET /health HTTP/1.0", "Host: x"), OK),
    "names in any case": Case(line("GET /health HTTP/1.1", "hOST: x", "CONNECTION: CLOSE"), OK),
    "no space after the colon": Case(line("GET /health HTTP/1.1", "Host:x"), OK),
    "white space around a value": Case(line("GET /health HTTP/1.1", "Host: \t x \t ", "A:  b\tc "), OK),
    "empty value": Case(line("GET /health HTTP/1.1", "Host: x", "A:", "B: "), OK),
    "value outside ASCII": Case(line("GET /health HTTP/1.1", "Host: x", "A: \xe9\xff"), OK),
    "field twice": Case(line("GET /health HTTP/1.1", "Host: x", "A: 1", "A: 2"), OK),
    "every token character": Case(line("GET /health HTTP/1.1", "Host: x", "!#$%&'*+-.^_`|~09azAZ: 1"), OK),
    "a hundred fields": Case(line("GET /health HTTP/1.1", "Host: x", *["a: b"] * 99), OK),
    "longest target": Case(line("GET /health?%s HTTP/1.1" % ("x" * (8192 - 8)), "Host: x"), OK),
    "longest head": Case(line("GET /health HTTP/1.1", "Host: x", "A: " + "x" * (32768 - 38)), OK),
    "absolute form": Case(line("GET http://example.org/health HTTP/1.1", "Host: x"), OK),
    "absolute form with port and query": Case(line("GET http://[::1]:80/health?a HTTP/1.1", "Host: x"), OK),
    "absolute form, no path": Case(line("GET http://example.org HTTP/1.1", "Host: x"), OK),
    "absolute form, no path but a query": Case(line("GET http://example.org?a=/b HTTP/1.1", "Host: x"), OK),
    "absolute form, scheme in capitals": Case(line("GET HTTP://example.org/health HTTP/1.1", "Host: x"), OK),
    "get with a body": Case(line("GET /health HTTP/1.1", "Host: x", "Content-Length: 4") + b"abcd" + HEALTH, OK * 2),
    "get with an empty body": Case(line("GET /health HTTP/1.1", "Host: x", "Content-Length: 0") + HEALTH, OK * 2),
    "unknown Expect": Case(line("GET /health HTTP/1.1", "Host: x", "Expect: cake"), OK),
    "run": Case(RUN, OK),
    "run, HTTP/1.0": Case(
        line("POST /execute HTTP/1.0", "Content-Type: application/json", "Content-Length: 22") + BODY, OK
    ),
    "run with a query": Case(RUN.replace(b"/execute", b"/execute?x=y"), OK),
    "leading zeros of a length": Case(post("Content-Length: 00022"), OK),
    "media type in capitals": Case(RUN.replace(b"application/json", b"Application/JSON"), OK),
    "media type with charset": Case(RUN.replace(b"application/json", b'application/json ; charset="utf-8"'), OK),
    "chunks": Case(chunked(BODY) + HEALTH, OK * 2),
    "chunks of one byte": Case(chunked(*[BODY[n : n + 1] for n in range(len(BODY))]) + HEALTH, OK * 2),
    "chunk size with leading zeros": Case(
        chunked(end=b"0000000000000016\r\n" + BODY + b"\r\n0\r\n\r\n") + HEALTH, OK * 2
    ),
    "chunk size in capitals": Case(chunked(b" " * 10, BODY).replace(b"\na\r", b"\nA\r") + HEALTH, OK * 2),
    "last chunk of many zeros": Case(chunked(BODY, end=b"0000000000000000\r\n\r\n") + HEALTH, OK * 2),
    "chunk extensions": Case(chunked(end=b'16;a;b=c ; d="e f"\r\n' + BODY + b"\r\n0 ;g=\xff\r\n\r\n") + HEALTH, OK * 2),
    "trailers": Case(chunked(BODY, end=b"0\r\nA: b\r\nHost: evil\r\nContent-Length: 5\r\n\r\n") + HEALTH, OK * 2),
    "extensions and trailers up to their bound": Case(
        chunked(BODY, end=b"0;" + b"x" * 4095 + b"\r\nA: " + b"y" * 4091 + b"\r\n\r\n") + HEALTH, OK * 2
    ),
    "chunks to get": Case(
        line("GET /health HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n" + HEALTH,
        OK * 2,
    ),
    "no chunks to get": Case(
        line("GET /health HTTP/1.1", "Host: x", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + HEALTH, OK * 2
    ),
    "chunks that are no JSON": Case(chunked(b"x") + HEALTH, BAD + OK),
    "no chunk at all": Case(chunked() + HEALTH, BAD + OK),
    "options": Case(line("OPTIONS /execute HTTP/1.1", "Host: x"), PREFLIGHT),
    "options of a page": Case(line("OPTIONS / HTTP/1.1", "Host: x"), PREFLIGHT),
    "options with a body": Case(
        line("OPTIONS /health HTTP/1.1", "Host: x", "Content-Length: 2") + b"{}" + HEALTH, PREFLIGHT + OK
    ),
    "pipelined": Case(HEALTH + RUN + HEALTH, OK * 3),
    "pipelined, empty lines between": Case(HEALTH + b"\r\n" + HEALTH + b"\r\n\r\n" + HEALTH, OK * 3),
    "pipelined, refusals that leave nothing unread": Case(
        line("GET /a HTTP/1.1", "Host: x") + line("PUT /health HTTP/1.1", "Host: x") + execute(b"{}") + HEALTH,
        NOT_FOUND + NOT_ALLOWED + BAD + OK,
        ["GET", "PUT", "POST", "GET"],
    ),
    "pipelined after close": Case(line("GET /health HTTP/1.1", "Host: x", "Connection: close") + HEALTH, OK),
    "pipelined after close among others": Case(
        line("GET /health HTTP/1.1", "Host: x", "Connection: a, Close") + HEALTH, OK
    ),
    "pipelined, HTTP/1.0": Case(line("GET /health HTTP/1.0") + HEALTH, OK),
    "pipelined, HTTP/1.0 kept": Case(line("GET /health HTTP/1.0", "Connection: Keep-Alive") + HEALTH, OK * 2),
}

UNREAD = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"  # as a body that is not read, it must not become a request
INVALID: Dict[str, Case] = {
    # the request line
    "nothing at all": Case(b"", NOTHING),
    "empty lines only": Case(b"\r\n\r\n\r\n", NOTHING),
    "half a head": Case(b"GET /health HTTP/1.1\r\nHost: x\r\n", NOTHING),
    "bare line feeds": Case(b"GET /health HTTP/1.1\nHost: x\n\n", BAD),
    "a bare line feed before": Case(b"\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n", BAD),
    "a TLS greeting": Case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    "an SSH greeting": Case(b"SSH-2.0-OpenSSH_9.2\r\n", NOTHING),
    "a first byte that no method has": Case(b"{", BAD),
    "a control character in half a head": Case(b"GET /health HTTP/1.1\r\nHost: \x01", BAD),
    "half a head with a carriage return alone": Case(b"GET /health HTTP/1.1\r\nHost: x\ry", BAD),
    "words": Case(b"hello\r\n\r\n", BAD),
    "HTTP/0.9": Case(b"GET /health\r\n\r\n", BAD),
    "HTTP/2 preface": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    "HTTP/1.10": Case(line("GET /health HTTP/1.10", "Host: x"), BAD),
    "HTTP/01.1": Case(line("GET /health HTTP/01.1", "Host: x"), BAD),
    "http/1.1": Case(line("GET /health http/1.1", "Host: x"), BAD),
    "no version": Case(line("GET /health ", "Host: x"), BAD),
    "two spaces": Case(line("GET  /health HTTP/1.1", "Host: x"), BAD),
    "space at the end": Case(line("GET /health HTTP/1.1 ", "Host: x"), BAD),
    "space at the start": Case(line(" GET /health HTTP/1.1", "Host: x"), BAD),
    "tabs": Case(line("GET\t/health\tHTTP/1.1", "Host: x"), BAD),
    "space in the target": Case(line("GET /hea lth HTTP/1.1", "Host: x"), BAD),
    "no method": Case(line("/health HTTP/1.1", "Host: x"), BAD),
    "no target": Case(line("GET HTTP/1.1", "Host: x"), BAD),
    "target without a slash": Case(line("GET health HTTP/1.1", "Host: x"), BAD),
    "method that is no token": Case(line("GE(T /health HTTP/1.1", "Host: x"), BAD),
    "method outside ASCII": Case(line("G\xc9T /health HTTP/1.1", "Host: x"), BAD),
    "NUL in the target": Case(line("GET /health\0 HTTP/1.1", "Host: x"), BAD),
    "target outside ASCII": Case(line("GET /h\xe9alth HTTP/1.1", "Host: x"), BAD),
    "control character in the target": Case(line("GET /\x1b[2J HTTP/1.1", "Host: x"), BAD),
    "carriage return in the target": Case(line("GET /health\rX: y HTTP/1.1", "Host: x"), BAD),
    "line feed in the request line": Case(line("GET /health\nX: HTTP/1.1", "Host: x"), BAD),
    "target too long": Case(line("GET /health?%s HTTP/1.1" % ("x" * (8192 - 7)), "Host: x"), TOO_LONG),
    # fields
    "no host": Case(line("GET /health HTTP/1.1"), BAD),
    "two hosts": Case(line("GET /health HTTP/1.1", "Host: x", "Host: x"), BAD),
    "space before the colon": Case(line("GET /health HTTP/1.1", "Host : x"), BAD),
    "space before the name": Case(line("GET /health HTTP/1.1", " Host: x"), BAD),
    "no name": Case(line("GET /health HTTP/1.1", "Host: x", ": y"), BAD),
    "no colon": Case(line("GET /health HTTP/1.1", "Host: x", "hello"), BAD),
    "folded field": Case(line("GET /health HTTP/1.1", "Host: x", "A: b", " c: d"), BAD),
    "folded field, tab": Case(line("GET /health HTTP/1.1", "Host: x", "A: b", "\tc"), BAD),
    "folded length": Case(post("Content-Length:", " 22"), BAD),
    "name that is no token": Case(line("GET /health HTTP/1.1", "Host: x", "A b: c"), BAD),
    "name outside ASCII": Case(line("GET /health HTTP/1.1", "Host: x", "\xc4: c"), BAD),
    "NUL in a name": Case(line("GET /health HTTP/1.1", "Host: x", "A\0: c"), BAD),
    "NUL in a value": Case(line("GET /health HTTP/1.1", "Host: x", "A: b\0c"), BAD),
    "line feed in a value": Case(line("GET /health HTTP/1.1", "Host: x", "A: b\nC: d"), BAD),
    "carriage return in a value": Case(line("GET /health HTTP/1.1", "Host: x", "A: b\rC: d"), BAD),
    "escape in a value": Case(line("GET /health HTTP/1.1", "Host: x", "A: \x1b[2J"), BAD),
    "delete in a value": Case(line("GET /health HTTP/1.1", "Host: x", "A: \x7f"), BAD),
    "101 fields": Case(line("GET /health HTTP/1.1", "Host: x", *["a: b"] * 100), TOO_LONG),
    "head one byte too long": Case(line("GET /health HTTP/1.1", "Host: x", "A: " + "x" * (32768 - 37)), TOO_LONG),
    "head without end": Case(b"GET /health HTTP/1.1\r\nA: " + b"x" * 60000, TOO_LONG),
    "two authorizations": Case(line("GET /health HTTP/1.1", "Host: x", "Authorization: a", "Authorization: b"), BAD),
    # lengths: where two parsers may disagree, nobody wins
    "negative length": Case(post("Content-Length: -1"), BAD),
    "signed length": Case(post("Content-Length: +22"), BAD),
    "hexadecimal length": Case(post("Content-Length: 0x16"), BAD),
    "length with an underscore": Case(post("Content-Length: 2_2"), BAD),
    "fraction as length": Case(post("Content-Length: 22.0"), BAD),
    "empty length": Case(post("Content-Length: "), BAD),
    "two numbers as length": Case(post("Content-Length: 22 22"), BAD),
    "list as length": Case(post("Content-Length: 22, 22"), BAD),
    "length in other digits": Case(post("Content-Length: \xb2\xb2"), BAD),
    "length twice, the same": Case(post("Content-Length: 22", "Content-Length: 22"), BAD),
    "length twice, another": Case(post("Content-Length: 22", "Content-Length: 2"), BAD),
    "length and chunks": Case(post("Content-Length: 22", "Transfer-Encoding: chunked"), BAD),
    "chunks and length": Case(post("Transfer-Encoding: chunked", "Content-Length: 22"), BAD),
    "chunks twice": Case(post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), BAD),
    "other coding": Case(post("Transfer-Encoding: xchunked", body=UNREAD), NO_CODING),
    "packed, then chunks": Case(post("Transfer-Encoding: gzip, chunked", body=UNREAD), NO_CODING),
    "identity": Case(post("Transfer-Encoding: identity", body=UNREAD), NO_CODING),
    "coding in capitals": Case(post("Transfer-Encoding: Chunked", body=UNREAD), NO_CODING),
    "coding with a parameter": Case(post("Transfer-Encoding: chunked;a=b", body=UNREAD), NO_CODING),
    "empty coding": Case(post("Transfer-Encoding:", body=UNREAD), BAD),
    "coding that is no token": Case(post('Transfer-Encoding: "chunked"', body=UNREAD), BAD),
    "coding and a comma": Case(post("Transfer-Encoding: chunked,", body=UNREAD), BAD),
    "coding behind a vertical tab": Case(post("Transfer-Encoding: \x0bchunked", body=UNREAD), BAD),
    "chunks, then packed": Case(post("Transfer-Encoding: chunked, gzip", body=UNREAD), BAD),
    "chunks in chunks": Case(post("Transfer-Encoding: chunked, chunked", body=UNREAD), BAD),
    "chunks, HTTP/1.0": Case(
        line("POST /execute HTTP/1.0", "Content-Type: application/json", "Transfer-Encoding: chunked") + UNREAD, BAD
    ),
    "bad framing of what there isn't": Case(
        line("POST /nothing HTTP/1.1", "Host: x", "Transfer-Encoding: chunked, gzip") + UNREAD, BAD
    ),
    "chunks to nowhere": Case(chunked(UNREAD).replace(b"/execute", b"/nothing"), NOT_FOUND),
    "chunk without a size": Case(chunked(end=b"\r\n" + UNREAD), BAD),
    "chunk size with a sign": Case(chunked(end=b"+16\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size below nothing": Case(chunked(end=b"-1\r\n" + UNREAD), BAD),
    "chunk size with 0x": Case(chunked(end=b"0x16\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size with an underscore": Case(chunked(end=b"1_6\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size of 17 digits": Case(chunked(end=b"0" * 15 + b"16\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size behind a space": Case(chunked(end=b" 16\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size before a space": Case(chunked(end=b"16 \r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size with a line feed": Case(chunked(end=b"16\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk size with a carriage return": Case(chunked(end=b"16\r" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk extension with a line feed": Case(chunked(end=b"16;a\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk extension with a carriage return": Case(chunked(end=b"16;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"), BAD),
    "chunk extension with a NUL": Case(chunked(end=b"16;\0\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk longer than its size": Case(chunked(end=b"15\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk shorter than its size": Case(chunked(end=b"17\r\n" + BODY + b"\r\n0\r\n\r\n" + UNREAD), BAD),
    "chunk that ends in a line feed": Case(chunked(end=b"16\r\n" + BODY + b"\n0\r\n\r\n" + UNREAD), BAD),
    "trailer without a colon": Case(chunked(BODY, end=b"0\r\nhello\r\n\r\n" + UNREAD), BAD),
    "request line as a trailer": Case(chunked(BODY, end=b"0\r\n" + UNREAD), BAD),
    "trailer with a line feed": Case(chunked(BODY, end=b"0\r\nA: b\nC: d\r\n\r\n" + UNREAD), BAD),
    "end with a line feed": Case(chunked(BODY, end=b"0\r\n\n" + UNREAD), BAD),
    "extensions too long": Case(chunked(BODY, end=b"0;" + b"x" * 8192 + b"\r\n\r\n"), BAD),
    "trailers too long": Case(chunked(BODY, end=b"0\r\n" + (b"A: " + b"y" * 1000 + b"\r\n") * 9 + b"\r\n"), BAD),
    "line between chunks without end": Case(chunked(BODY, end=b"0;" + b"x" * 30000), BAD),
    "chunks without end": Case(chunked(BODY, end=b""), NOTHING),
    "no last line": Case(chunked(BODY, end=b"0\r\n"), NOTHING),
    "chunk too large": Case(chunked(end=b"%x\r\n" % (48 * MIB + 1)), TOO_LARGE),
    "chunk unspeakably large": Case(chunked(end=b"f" * 16 + b"\r\n" + UNREAD), TOO_LARGE),
    "chunks that add up to too much": Case(chunked(b" ", end=b"%x\r\n" % (48 * MIB)), TOO_LARGE),
    "no length": Case(post(body=b""), NO_LENGTH),
    "no length, a body": Case(post(body=BODY), NO_LENGTH),
    "one byte too large": Case(post("Content-Length: %d" % (48 * MIB + 1), body=UNREAD), TOO_LARGE),
    "far too large": Case(post("Content-Length: " + "9" * 18, body=UNREAD), TOO_LARGE),
    "unspeakably large": Case(post("Content-Length: " + "9" * 40, body=UNREAD), TOO_LARGE),
    "too large for get": Case(
        line("GET /health HTTP/1.1", "Host: x", "Content-Length: 99999999999") + UNREAD, TOO_LARGE
    ),
    "shorter than promised": Case(post("Content-Length: 23"), NOTHING),
    # routes
    "unknown path": Case(line("GET /nothing HTTP/1.1", "Host: x"), NOT_FOUND),
    "unknown path, head": Case(line("HEAD /nothing HTTP/1.1", "Host: x") + HEALTH, [(404, None)] + OK, ["HEAD", "GET"]),
    "unknown path, options": Case(line("OPTIONS /nothing HTTP/1.1", "Host: x"), NOT_FOUND),
    "unknown path, post": Case(RUN.replace(b"/execute", b"/nothing") + HEALTH, NOT_FOUND),
    "path in capitals": Case(line("GET /HEALTH HTTP/1.1", "Host: x"), NOT_FOUND),
    "slash at the end": Case(line("GET /health/ HTTP/1.1", "Host: x"), NOT_FOUND),
    "two slashes": Case(line("GET //health HTTP/1.1", "Host: x"), NOT_FOUND),
    "dots": Case(line("GET /static/../health HTTP/1.1", "Host: x"), NOT_FOUND),
    "a file of the host": Case(line("GET /static/../../../../etc/passwd HTTP/1.1", "Host: x"), NOT_FOUND),
    "a file of the host, escaped": Case(line("GET /static/%2e%2e/%2e%2e/etc/passwd HTTP/1.1", "Host: x"), NOT_FOUND),
    "a file of ours": Case(line("GET /static/__init__.py HTTP/1.1", "Host: x"), NOT_FOUND),
    "backslashes": Case(line("GET /static\\style.css HTTP/1.1", "Host: x"), NOT_FOUND),
    "asterisk": Case(line("GET * HTTP/1.1", "Host: x"), NOT_FOUND),
    "authority": Case(line("CONNECT example.org:443 HTTP/1.1", "Host: x") + HEALTH, NOT_ALLOWED + OK),
    "absolute form, unknown path": Case(line("GET http://example.org/nothing HTTP/1.1", "Host: x"), NOT_FOUND),
    "a colon and two slashes in a path": Case(line("GET /a://b/health HTTP/1.1", "Host: x"), NOT_FOUND),
    "put": Case(line("PUT /execute HTTP/1.1", "Host: x", "Content-Length: 33") + UNREAD, NOT_ALLOWED),
    "get of execute": Case(line("GET /execute HTTP/1.1", "Host: x") + HEALTH, NOT_ALLOWED + OK),
    "head of execute": Case(line("HEAD /execute HTTP/1.1", "Host: x") + HEALTH, [(405, None)] + OK, ["HEAD", "GET"]),
    "post to health": Case(RUN.replace(b"/execute", b"/health"), NOT_ALLOWED),
    "delete of the page": Case(line("DELETE / HTTP/1.1", "Host: x"), NOT_ALLOWED),
    "trace": Case(line("TRACE / HTTP/1.1", "Host: x"), NOT_ALLOWED),
    "method in small letters": Case(line("get /health HTTP/1.1", "Host: x"), NOT_ALLOWED),
    # media types
    "no type": Case(RUN.replace(b"Content-Type: application/json\r\n", b"") + HEALTH, WRONG_TYPE),
    "empty type": Case(RUN.replace(b"application/json", b""), WRONG_TYPE),
    "another type": Case(RUN.replace(b"application/json", b"text/plain"), WRONG_TYPE),
    "form": Case(RUN.replace(b"application/json", b"application/x-www-form-urlencoded"), WRONG_TYPE),
    "almost json": Case(RUN.replace(b"application/json", b"application/jsonx"), WRONG_TYPE),
    "two types": Case(RUN.replace(b"application/json", b"application/json, text/plain"), WRONG_TYPE),
    "type twice": Case(post("Content-Type: application/json", "Content-Length: 22"), BAD),
    # bodies
    "empty body": Case(execute(b"") + HEALTH, BAD + OK),
    "no json": Case(execute(b"print(1)") + HEALTH, BAD + OK),
    "no utf-8": Case(execute(b'{"code": "\xff"}') + HEALTH, BAD + OK),
    "wrong key": Case(execute({"code": "1", "api_key": "x"}) + HEALTH, [(401, "AuthenticationError")] + OK),
    "wrong bearer": Case(execute({"code": "1"}, ("Authorization", "Bearer x")), [(401, "AuthenticationError")]),
    "forbidden import": Case(execute({"code": "import os"}) + HEALTH, [(400, "ForbiddenImportError")] + OK),
}
BAD_HOSTS = ("", " ", "user@x", "user:pw@x", "@x", "x/health", "x?a", "x#a", "a, b", "a,b", "x y", "http://x")
BAD_HOSTS += ("x:y", "x:-1", "x:+80", "x:80:80", "x:65536", "x:999999999", "x: 80", "x :80", ":80", ".")
BAD_HOSTS += (
    "..[",
    "[",
    "]",
    "[]",
    "[::1",
    "::1",
    "[::1]x",
    "[::1]:x",
    "[::g]",
    "[1.2.3.4]",
    "[v1.x]",
    "[::1%]",
    "x%",
    "x%4",
)
BAD_HOSTS += ("x%zz", 'x"', "x\\y", "<x>", "x\ty", "\xe9", "x\xad", "x" * 256)
GOOD_HOSTS = ("x", "X", "x.", "x:", "x:0", "x:80", "x:0080", "x:65535", "example.org:5000", "EXAMPLE.ORG")
GOOD_HOSTS += (
    "127.0.0.1",
    "192.0.2.1:80",
    "[::1]",
    "[::1]:5000",
    "[2001:DB8::1]",
    "[::ffff:1.2.3.4]",
    "[fe80::1%25eth0]:1",
)
FOREIGN_HOSTS = (
    "y",
    "x.y",
    "xx",
    "evil.example:5000",
    "127.0.0.1.evil.example",
    "x%2e",
    "%78",
    "127.1",
    "0x7f.1",
    "x..",
)
FOREIGN_HOSTS += ("localhost.evil.example", "a.localhost", "127.0.0.01", "_x", "x!$&'()*+;=~-")
GRAMMAR: Dict[str, Case] = {
    "HTTP/1.2": Case(line("GET /about HTTP/1.2", "Host: x") + HEALTH, OK * 2),
    "HTTP/1.9": Case(line("GET /about HTTP/1.9", "Host: x"), OK),
    "HTTP/1.2 needs a host": Case(line("GET /about HTTP/1.2"), BAD),
    "HTTP/2.0": Case(line("GET /about HTTP/2.0", "Host: x") + HEALTH, VERSION),
    "HTTP/2": Case(line("GET /nothing HTTP/2"), VERSION),
    "HTTP/3.1": Case(line("GET no-target HTTP/3.1", "Host: a b"), VERSION),
    "HTTP/9.9, with a body": Case(post("Content-Length: 22").replace(b"HTTP/1.1", b"HTTP/9.9"), VERSION),
    "HTTP/0.9 by name": Case(line("GET /about HTTP/0.9", "Host: x"), BAD),
    "HTTP/10.0": Case(line("GET /about HTTP/10.0", "Host: x"), BAD),
    "HTTP/2.": Case(line("GET /about HTTP/2.", "Host: x"), BAD),
    # whom it is for
    "a foreign host of health": Case(line("GET /health HTTP/1.1", "Host: y") + HEALTH, OK * 2),
    "a foreign host of health, head": Case(line("HEAD /health HTTP/1.1", "Host: y") + HEALTH, OK * 2, ["HEAD", "GET"]),
    "a foreign host of health, options": Case(line("OPTIONS /health HTTP/1.1", "Host: y") + HEALTH, MISDIRECTED + OK),
    "a foreign host, unknown path": Case(line("GET /nothing HTTP/1.1", "Host: y"), MISDIRECTED),
    "a foreign host, unknown method": Case(line("PUT /execute HTTP/1.1", "Host: y"), MISDIRECTED),
    "a foreign host, a run": Case(RUN.replace(b"Host: localhost", b"Host: y"), MISDIRECTED),
    "a foreign host, HTTP/1.0": Case(line("GET /about HTTP/1.0", "Host: y"), MISDIRECTED),
    "no host, HTTP/1.0": Case(line("GET /about HTTP/1.0"), OK),
    "the target's host counts": Case(line("GET http://x/about HTTP/1.1", "Host: y"), OK),
    "the target's host counts, foreign": Case(line("GET http://y/about HTTP/1.1", "Host: x"), MISDIRECTED),
    "the target's host, but a bad one": Case(line("GET http://x/about HTTP/1.1", "Host: a b"), BAD),
    "the target's host, but none": Case(line("GET http://x/about HTTP/1.1"), BAD),
    "the target's host, HTTP/1.0": Case(line("GET http://y/about HTTP/1.0"), MISDIRECTED),
    "a target with a user": Case(line("GET http://x@x/about HTTP/1.1", "Host: x"), BAD),
    "a target with a bad port": Case(line("GET http://x:y/about HTTP/1.1", "Host: x"), BAD),
    "a target with an empty host": Case(line("GET http:///about HTTP/1.1", "Host: x"), BAD),
    "a target with a port alone": Case(line("GET http://:80/about HTTP/1.1", "Host: x"), BAD),
    "a target with no slashes": Case(line("GET http:/about HTTP/1.1", "Host: x"), BAD),
    "https": Case(line("GET https://x/about HTTP/1.1", "Host: x"), OK),
    "a foreign scheme": Case(line("GET ftp://x/about HTTP/1.1", "Host: x"), BAD),
    "another foreign scheme": Case(line("GET ws://x/health HTTP/1.1", "Host: x"), BAD),
    "a file": Case(line("GET file:///etc/passwd HTTP/1.1", "Host: x"), BAD),
    # targets that are no paths
    "options of all": Case(line("OPTIONS * HTTP/1.1", "Host: x") + HEALTH, PREFLIGHT + OK),
    "options of all, HTTP/1.0": Case(line("OPTIONS * HTTP/1.0"), PREFLIGHT),
    "options of all, a foreign host": Case(line("OPTIONS * HTTP/1.1", "Host: y"), MISDIRECTED),
    "post to all": Case(RUN.replace(b"/execute", b"*"), NOT_FOUND),
    "connect, a foreign host": Case(line("CONNECT y:443 HTTP/1.1", "Host: y:443"), NOT_ALLOWED),
    "connect to a path": Case(line("CONNECT /execute HTTP/1.1", "Host: x"), NOT_ALLOWED),
    "connect, a bad host": Case(line("CONNECT x:443 HTTP/1.1", "Host: a b"), BAD),
    # framing before the route
    "a bad length to nothing": Case(post("Content-Length: x").replace(b"/execute", b"/nothing"), BAD),
    # codings and charsets
    "gzip": Case(post("Content-Length: 22", "Content-Encoding: gzip"), WRONG_TYPE),
    "gzip, another type": Case(
        post("Content-Length: 22", "Content-Encoding: gzip").replace(b"json", b"text"), WRONG_TYPE
    ),
    "gzip of two": Case(post("Content-Length: 22", "Content-Encoding: identity, GZIP"), WRONG_TYPE),
    "gzip to nothing": Case(
        post("Content-Length: 22", "Content-Encoding: br").replace(b"/execute", b"/nothing"), WRONG_TYPE
    ),
    "gzip to get": Case(
        line("GET /about HTTP/1.1", "Host: x", "Content-Encoding: gzip", "Content-Length: 1") + b"x", WRONG_TYPE
    ),
    "gzip of no body": Case(line("GET /about HTTP/1.1", "Host: x", "Content-Encoding: gzip"), OK),
    "identity as content coding": Case(post("Content-Length: 22", "Content-Encoding: Identity"), OK),
    "no content coding": Case(post("Content-Length: 22", "Content-Encoding:"), OK),
}
GRAMMAR.update({"bad host %r" % host: Case(line("GET /health HTTP/1.1", "Host: " + host), BAD) for host in BAD_HOSTS})
GRAMMAR.update({"good host %r" % host: Case(line("GET /about HTTP/1.1", "Host: " + host), OK) for host in GOOD_HOSTS})
GRAMMAR.update(
    {"foreign %r" % host: Case(line("GET /about HTTP/1.1", "Host: " + host), MISDIRECTED) for host in FOREIGN_HOSTS}
)
CORPUS = dict(VALID, **INVALID, **GRAMMAR)
# Too long to be sent byte by byte, or going on after an end that was announced and agreed on.
NOT_IN_BYTES = {name for name, case in CORPUS.items() if len(case.raw) > 1200} | {
    "pipelined after close",
    "pipelined after close among others",
    "pipelined, HTTP/1.0",
}


def check_replies(data: bytes, methods: Sequence[str]) -> List[Reply]:
    replies = [reply for reply in parse_replies(data, methods) if reply.status != 100]
    for reply in replies:
        check_reply(reply)
    # Only the last may end the connection, and what ends it says so.
    assert not [reply for reply in replies[:-1] if reply.fields["connection"] == "close"]
    return replies


def test_no_name_stands_for_two_requests() -> None:
    assert len(CORPUS) == len(VALID) + len(INVALID) + len(GRAMMAR)


@pytest.mark.parametrize("name", CORPUS)
def test_whole(server: RunningServer, name: str) -> None:
    case = CORPUS[name]
    replies = check_replies(
        exchange(server.port, case.raw, answers=len(case.expected), methods=case.methods), case.methods
    )
    assert [(reply.status, reply.error_type) for reply in replies] == list(case.expected)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in NOT_IN_BYTES])
def test_byte_by_byte(server: RunningServer, name: str) -> None:
    case = CORPUS[name]
    pieces = [case.raw[place : place + 1] for place in range(len(case.raw))]
    data = exchange(server.port, *pieces, answers=len(case.expected), methods=case.methods)
    replies = check_replies(data, case.methods)
    assert [(reply.status, reply.error_type) for reply in replies] == list(case.expected)


@pytest.mark.parametrize("name", CORPUS)
def test_cut_off(server: RunningServer, name: str) -> None:
    case = CORPUS[name]
    for eighth in range(1, 8):
        cut = case.raw[: len(case.raw) * eighth // 8]
        replies = check_replies(exchange(server.port, cut, answers=0), case.methods)
        # What was there in full is answered as before; of the rest nothing is made up.
        assert [(reply.status, reply.error_type) for reply in replies] == list(case.expected)[: len(replies)]
    check_alive(server.port)


# -- connections ------------------------------------------------------------------------------------------------------


def test_many_requests_on_one_connection(server: RunningServer) -> None:
    with connect(server.port) as sock:
        for number in range(20):
            sock.sendall(execute({"code": "print(%d)" % number}))
            reply = read_reply(sock)
            check_reply(reply)
            assert reply.fields["connection"] == "keep-alive"
            assert reply.document["execution_details"]["stdout"] == "%d\n" % number


def test_a_kept_connection_is_not_slow(server: RunningServer) -> None:
    with connect(server.port) as sock:
        times = []
        for _ in range(40):
            started = time.monotonic()
            sock.sendall(HEALTH)
            read_reply(sock)
            times.append(time.monotonic() - started)
    assert sorted(times)[20] < 0.035  # Nagle's algorithm and a second write would make it 40 ms


@pytest.mark.parametrize(
    "raw, kept",
    [
        (line("GET /health HTTP/1.1", "Host: x"), True),
        (line("GET /health HTTP/1.1", "Host: x", "Connection: keep-alive"), True),
        (line("GET /health HTTP/1.1", "Host: x", "Connection: close"), False),
        (line("GET /health HTTP/1.1", "Host: x", "Connection: CLOSE"), False),
        (line("GET /health HTTP/1.1", "Host: x", "Connection: upgrade,close", "Upgrade: h2c"), False),
        (line("GET /health HTTP/1.0"), False),
        (line("GET /health HTTP/1.0", "Connection: keep-alive"), True),
        (line("GET /nothing HTTP/1.1", "Host: x"), True),
        (line("GET /nothing HTTP/1.1", "Host: x", "Connection: close"), False),
        (execute(b"{}"), True),
        (execute(b"{}", ("Connection", "close")), False),
        (line("POST /health HTTP/1.1", "Host: x", "Content-Length: 3") + b"abc", False),  # its body was not read
        (line("GET /health HTTP/2.0", "Host: x"), False),
    ],
)
def test_the_answer_says_whether_the_connection_is_kept(server: RunningServer, raw: bytes, kept: bool) -> None:
    with connect(server.port) as sock:
        sock.sendall(raw)
        reply = read_reply(sock)
        assert reply.fields["connection"] == ("keep-alive" if kept else "close")
        if kept:
            sock.sendall(HEALTH)
            assert read_reply(sock).status == 200
        else:
            assert sock.recv(1) == b""


def test_expecting_clients_get_a_word_before_the_body(server: RunningServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(post("Expect: 100-Continue", "Content-Length: 22", body=b""))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        assert read_reply(sock).document["execution_details"]["stdout"] == "42\n"
        sock.sendall(post("Expect: 100-continue", "Transfer-Encoding: chunked", body=b""))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (b"1", b"6\r\n", BODY, b"\r", b"\n0\r\n", b"\r\n"):
            sock.sendall(piece)
        assert read_reply(sock).document["execution_details"]["stdout"] == "42\n"


@pytest.mark.parametrize(
    "raw, status",
    [
        (post("Expect: 100-continue", "Content-Length: %d" % (48 * MIB + 1), body=b""), 413),
        (post("Expect: 100-continue", "Transfer-Encoding: gzip", body=b""), 501),
        (post("Expect: 100-continue", "Transfer-Encoding: chunked, gzip", body=b""), 400),
        (post("Expect: 100-continue", body=b""), 411),
        (line("POST /execute HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue"), 415),
        (line("POST /nothing HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue"), 404),
        (line("POST /health HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue"), 405),
    ],
)
def test_expecting_clients_are_refused_before_the_body(server: RunningServer, raw: bytes, status: int) -> None:
    with connect(server.port) as sock:
        sock.sendall(raw)
        reply = read_reply(sock)
        assert (reply.status, reply.fields["connection"]) == (status, "close")


def test_nobody_waits_for_a_word_in_http_1_0(server: RunningServer) -> None:
    raw = RUN.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host", b"Expect: 100-continue\r\nHost")
    assert [reply.status for reply in parse_replies(exchange(server.port, raw, answers=1))] == [200]


def test_a_body_that_is_too_large_is_refused_unread_and_the_answer_arrives(server: RunningServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(post("Content-Length: %d" % (48 * MIB + 1), body=b""))
        reply = read_reply(sock)  # nothing of the body was sent yet
        assert (reply.status, reply.error_type, reply.fields["connection"]) == (413, "PayloadTooLarge", "close")
        sock.sendall(bytes(MIB))  # a client that is already sending must not see a reset
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""


def test_a_client_that_sends_first_and_reads_later_gets_its_refusal(server: RunningServer) -> None:
    reply = ask(server.port, post("Content-Length: %d" % (48 * MIB + 1), body=bytes(3 * MIB)))
    assert reply.error_type == "PayloadTooLarge"
    assert ask(server.port, post("Transfer-Encoding: gzip", body=bytes(3 * MIB))).error_type == "NotImplemented"
    assert ask(server.port, b"x" * (3 * MIB)).error_type == "HeadersTooLarge"


# -- routes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GET_PATHS)
def test_head_is_get_without_the_body(server: RunningServer, path: str) -> None:
    got, head = ask(server.port, request("GET", path)), ask(server.port, request("HEAD", path), "HEAD")
    assert (got.status, head.status) == (200, 200)
    assert int(got.fields["content-length"]) == len(got.body) > 0
    changing = ("date", "content-length") if path in ("/health", "/metrics") else ("date",)
    for fields in (got.fields, head.fields):
        for name in changing:
            fields.pop(name)
    assert got.fields == head.fields


@pytest.mark.parametrize(
    "path, media_type",
    [
        ("/", "text/html; charset=utf-8"),
        ("/health", "application/json; charset=utf-8"),
        ("/openapi.json", "application/json"),
        ("/metrics", "text/plain; version=0.0.4"),
    ],
)
def test_each_endpoint_has_its_media_type(server: RunningServer, path: str, media_type: str) -> None:
    reply = ask(server.port, request("GET", path))
    assert (reply.status, reply.fields["content-type"].startswith(media_type)) == (200, True)


def test_health_says_what_the_contract_lists(server: RunningServer) -> None:
    document = ask(server.port, request("GET", "/health")).document
    assert {"version", "layers", "libraries", "active_runs", "max_runs", "uptime_sec"} <= set(document)
    assert set(document["libraries"]) == {"numpy", "PIL", "reportlab", "fpdf"}
    assert (document["max_runs"], isinstance(document["active_runs"], int)) == (5, True)
    assert document["uptime_sec"] > 0 and "seccomp" in document["layers"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "post", "X"])
def test_other_methods_of_execute(server: RunningServer, method: str) -> None:
    reply = ask(server.port, request(method, "/execute"))
    assert (reply.error_type, reply.fields["allow"]) == ("MethodNotAllowed", "POST, OPTIONS")
    assert method in reply.document["error_details"]["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get"])
@pytest.mark.parametrize("path", GET_PATHS)
def test_other_methods_of_what_is_read(server: RunningServer, method: str, path: str) -> None:
    reply = ask(server.port, request(method, path))
    assert (reply.error_type, reply.fields["allow"]) == ("MethodNotAllowed", "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "path, methods",
    [("/execute", "POST, OPTIONS"), ("*", "POST, GET, HEAD, OPTIONS")]
    + [(path, "GET, HEAD, OPTIONS") for path in GET_PATHS],
)
def test_options_names_the_methods_and_grants_nothing(server: RunningServer, path: str, methods: str) -> None:
    fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "POST")]
    reply = ask(server.port, request("OPTIONS", path, fields=fields))
    assert (reply.status, reply.body, reply.fields["allow"]) == (204, b"", methods)


def test_what_is_said_of_a_body_that_is_refused_for_its_coding(server: RunningServer) -> None:
    reply = ask(server.port, post("Content-Length: 22", "Content-Encoding: gzip"))
    assert (reply.error_type, reply.fields["accept-encoding"]) == ("UnsupportedMediaType", "identity")
    assert "'Content-Encoding: gzip'" in reply.document["error_details"]["message"]
    assert "accept-encoding" not in ask(server.port, RUN.replace(b"application/json", b"text/plain")).fields


@pytest.mark.parametrize("declared", ["utf-8", "UTF-8", '"utf-8"', " utf8 ", "utf-8; version=1"])
def test_the_charset_may_be_named(server: RunningServer, declared: str) -> None:
    raw = RUN.replace(b"application/json", b"application/json; charset=" + declared.encode())
    assert ask(server.port, raw).status == 200


@pytest.mark.parametrize(
    "declared, shown",
    [
        ("ISO-8859-1", "ISO-8859-1"),
        ('"utf-16"', "utf-16"),
        ("utf-8; charset=latin1", "latin1"),
        ("", ""),
        ('"a\\"; charset=utf-8', "a"),
        ("utf-8x", "utf-8x"),
    ],
)
def test_another_charset_is_refused_by_its_name(server: RunningServer, declared: str, shown: str) -> None:
    reply = ask(
        server.port, RUN.replace(b"application/json", b"application/json; version=1 ;CharSet = " + declared.encode())
    )
    assert reply.error_type == "UnsupportedMediaType"
    assert "charset=utf-8'" in reply.document["error_details"]["message"]
    assert shown in reply.document["error_details"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        RUN,
        execute(b"{}"),
        execute({"code": "import os"}),
        execute({"code": "1", "api_key": "wrong"}),
        post("Content-Length: 999999999", body=b""),
        post(body=b""),
        RUN.replace(b"application/json", b"text/plain"),
    ],
    ids=["200", "400", "forbidden", "401", "413", "411", "415"],
)
def test_every_answer_of_execute_carries_the_quota(server: RunningServer, raw: bytes) -> None:
    reply = ask(server.port, raw)
    assert reply.fields["ratelimit-policy"] == '"minute";q=1000000;w=60, "day";q=1000000;w=86400'
    assert reply.fields["ratelimit"].startswith('"minute";r=')
    document = reply.document
    assert set(document["user_info"]) == {
        "ip_address",
        "daily_quota_limit",
        "requests_today",
        "requests_remaining_today",
    }
    assert set(document["server_status"]) == {"load", "active_processes_at_request", "max_concurrent_processes"}


def test_an_admins_answer_carries_no_quota(server: RunningServer) -> None:
    reply = ask(server.port, execute({"code": "import os", "api_key": ADMIN_KEY}))
    assert reply.document["user_info"] == {"role": "admin", "rate_limits_applied": False}
    assert "ratelimit" not in reply.fields and "ratelimit-policy" not in reply.fields


@pytest.mark.parametrize(
    "raw", [execute(b"{}"), request("GET", "/health"), request("GET", "/nothing")], ids=["400", "200", "404"]
)
def test_what_changes_is_not_stored(server: RunningServer, raw: bytes) -> None:
    assert ask(server.port, raw).fields["cache-control"] == "no-store"


# -- clients that take their time -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hasty() -> Iterator[RunningServer]:
    """A server that waits for nobody."""
    patience = dict.fromkeys(("header_timeout_s", "body_timeout_s", "idle_timeout_s", "write_timeout_s"), 0.4)
    running = RunningServer(dict(patience, max_runs=1))
    yield running
    assert running.stop() == 0, running.log
    log_lines(running.log)  # nothing else was said, no fault above all


def drip(sock: socket.socket, data: bytes) -> None:
    """Send a byte now and then until the other side has answered."""
    sock.settimeout(0.03)
    for place in range(len(data)):
        sock.sendall(data[place : place + 1])
        try:
            if sock.recv(1, socket.MSG_PEEK):
                break
        except socket.timeout:
            continue
    sock.settimeout(30)


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "byte by byte"])
@pytest.mark.parametrize(
    "raw, what",
    [
        (b"GET /health HTTP/1.1\r\nHost: " + b"x" * 200, "header"),
        (post("Content-Length: 500", body=b" " * 300), "body"),
    ],
    ids=["header", "body"],
)
def test_a_request_that_does_not_arrive_in_time(hasty: RunningServer, raw: bytes, what: str, dripping: bool) -> None:
    started = time.monotonic()
    with connect(hasty.port) as sock:
        sock.sendall(raw[:-200])
        if dripping:
            drip(sock, raw[-200:])
        reply = read_reply(sock)
        waited_s = time.monotonic() - started
        check_reply(reply)
        assert (reply.error_type, reply.fields["connection"]) == ("RequestTimeout", "close")
        assert what in reply.document["error_details"]["message"]
        assert 0.35 < waited_s < 5
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""


def test_a_late_second_request_is_told_so_too(hasty: RunningServer) -> None:
    with connect(hasty.port) as sock:
        sock.sendall(HEALTH + HEALTH[:-2])
        assert [reply.error_type for reply in parse_replies(read_to_end(sock))] == [None, "RequestTimeout"]


@pytest.mark.parametrize("requests", [0, 1, 2])
def test_an_idle_connection_is_closed_without_a_word(hasty: RunningServer, requests: int) -> None:
    with connect(hasty.port) as sock:
        for _ in range(requests):
            sock.sendall(HEALTH)
            read_reply(sock)
        assert read_to_end(sock) == b""


def test_a_client_that_does_not_take_its_answer_is_left(hasty: RunningServer) -> None:
    code = "open('big', 'wb').write(bytes(8 * 1024 * 1024))"
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", hasty.port))
        sock.sendall(execute({"code": code, "return_files": ["big"]}))
        lines = await_that(
            lambda: [row for row in log_lines(hasty.log) if row["status"] == 499], what="the answer given up"
        )
        assert (len(lines), lines[0]["path"]) == (1, "/execute")
        await_that(lambda: hasty.client.health()["active_runs"] == 0, what="its slot given back")
    assert hasty.client.execute("print(1)").stdout == "1\n"


def become_busy(sock: socket.socket) -> None:
    """Get into the middle of a request, known to the server as such."""
    sock.sendall(post("Expect: 100-continue", "Content-Length: 22", body=b""))
    assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_idle_connections_make_room_and_busy_ones_do_not(start_server: Callable[..., RunningServer]) -> None:
    port = start_server(max_connections=3).port
    busy, oldest, younger = connect(port), connect(port), connect(port)
    with holding(busy, oldest, younger):
        become_busy(busy)
        check_alive(port)  # a fourth one
        assert oldest.recv(1) == b""
        busy.sendall(BODY)
        assert read_reply(busy).status == 200
        younger.sendall(HEALTH)
        assert read_reply(younger).status == 200


def test_too_many_busy_connections_are_told_so(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(max_connections=3, max_runs=3, metrics_port=0)
    port = running.port
    inside = int(running.log.partition("metrics on http://127.0.0.1:")[2].partition("/")[0])
    busy = [connect(port) for _ in range(3)]
    body = b'{"code": "import time; time.sleep(5)"}'
    with holding(*busy):
        for sock in busy:
            sock.sendall(post("Content-Length: %d" % len(body), body=body))
        await_that(
            lambda: b"\npyexec_active_runs 3\n" in ask(inside, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body,
            what="three runs",
        )
        with connect(port) as sock:
            reply = read_reply(sock)
            check_reply(reply)
            assert (reply.error_type, reply.fields["connection"]) == ("ServerBusy", "close")
            assert sock.recv(1) == b""
        for sock in busy:
            assert read_reply(sock).status == 200

    def served() -> bool:
        try:
            return ask(port, HEALTH).status == 200
        except OSError:  # refused once more, while we were sending
            return False

    await_that(served, what="room for another")


def test_bodies_that_are_announced_and_not_sent_lock_nobody_out(start_server: Callable[..., RunningServer]) -> None:
    running = start_server()
    sizes = [48 * MIB] * 5 + [16 * MIB]  # all that may be in memory at once
    silent = [connect(running.port) for _ in sizes]
    with holding(*silent):
        for sock, size in zip(silent, sizes):
            sock.sendall(post("Expect: 100-continue", "Content-Length: %d" % size, body=b""))
            assert b"HTTP/1.1 100 Continue" in sock.recv(100)
        assert ask(running.port, RUN).status == 200


# -- the log ----------------------------------------------------------------------------------------------------------

LOG_KEYS = {"time", "level", "request_id", "caller", "method", "path", "status", "type", "bytes", "ms"}


def test_one_line_a_request_and_no_secret_in_it(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(cors_origin="https://a.example", rate_per_minute=1000)
    port = running.port
    forwarded = ("X-Forwarded-For", '198.51.100.1", "status": 0, "x": "5ecret')
    script = {
        "code": "print('5ecret'); raise ValueError('5ecret')",
        "stdin_data": "5ecret",
        "attachments": [{"filename": "5ecret.txt", "content_base_64": "NWVjcmV0"}],
        "return_files": ["5ecret.txt"],
    }
    sent = [
        (request("GET", "/health?5ecret=5ecret"), 200, "/health", "ok"),
        (request("GET", "/x\"}{\\u000a'%0a%00"), 404, "/x\"}{\\u000a'%0a%00", "NotFound"),
        (request("GET", "/" + "y" * 5000), 404, "/" + "y" * 199, "NotFound"),
        (request("GET", "http://5ecret/health?5ecret#5ecret"), 200, "/health", "ok"),
        (request("GET", "http://unknown/about?5ecret"), 421, "/about", "MisdirectedRequest"),
        (execute(script), 200, "/execute", "ok"),
        (execute(script, forwarded), 200, "/execute", "ok"),
        (execute(dict(script, api_key="5ecret-guess")), 401, "/execute", "AuthenticationError"),
        (execute(script, ("Authorization", "Bearer 5ecret-guess")), 401, "/execute", "AuthenticationError"),
        (execute(dict(script, api_key=ADMIN_KEY)), 200, "/execute", "ok"),
        (execute({"code": "import xml_5ecret"}), 400, "/execute", "ForbiddenImportError"),
        (execute(b'{"5ecret": "5ecret"'), 400, "/execute", "ValidationError"),
        (
            request("POST", "/execute", b"5ecret", [("Content-Type", "5ecret/5ecret")]),
            415,
            "/execute",
            "UnsupportedMediaType",
        ),
        (request("GET", "/health", fields=[("Cookie", "5ecret"), ("User-Agent", '5ecret"\\')]), 200, "/health", "ok"),
        (b"5ecret\r\n\r\n", 400, "-", "ValidationError"),
        (b"GET /5ecret\x1b[2J HTTP/1.1\r\n\r\n", 400, "-", "ValidationError"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n5ecret\n{}: x\r\n\r\n", 400, "-", "ValidationError"),
    ]
    for raw, status, _, _ in sent:
        replies = parse_replies(exchange(port, raw, answers=1))
        assert [reply.status for reply in replies] == [status]
        check_reply(replies[0], "https://a.example")
    pipelined = HEALTH * 3
    assert len(parse_replies(exchange(port, pipelined))) == 3
    exchange(port, HEALTH[:-2], answers=0)  # no request, no line
    running.stop()
    lines = log_lines(running.log)
    expected = [row[1:] for row in sent if row[2] != "/health"]  # what balancers ask every second
    assert [(row["status"], row["path"], row["type"]) for row in lines] == expected
    assert "5ecret" not in running.log
    assert ADMIN_KEY not in running.log and json.dumps(ADMIN_KEY)[1:-1] not in running.log
    for row in lines:
        assert set(row) == LOG_KEYS
        assert row["method"] in ("GET", "POST", "-")
        assert row["bytes"] > 0 and row["ms"] >= 0
    assert {row["caller"] for row in lines} == {"127.0.0.1", "admin"}


def test_the_caller_in_the_log_is_whom_the_proxy_names(server: RunningServer) -> None:
    path = "/who-asks"
    for headers in (
        ["203.0.113.77"],
        ["203.0.113.78:80, 10.0.0.1"],
        ["198.51.100.1, 203.0.113.79", "10.0.0.1", "192.168.0.1"],
        ["[2001:db8::7]:1"],
        ['x"\\, "}'],
        ["198.51.100.2"] * 50 + [""],
    ):
        ask(server.port, request("GET", path, fields=[("X-Forwarded-For", header) for header in headers]))
    callers = {row["caller"] for row in log_lines(server.log) if row["path"] == path}
    assert callers == {"203.0.113.77", "203.0.113.78", "203.0.113.79", "2001:db8::7", "127.0.0.1"}


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb"])
def test_no_header_field_breaks_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError):
        message.render_head(200, [("A", value)])


def test_a_stream_of_empty_lines_is_not_read_for_ever(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"\r\n" * (1 << 16))
        assert connection.recv(12) == b"HTTP/1.1 431"
