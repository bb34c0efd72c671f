"""Requests that no client sends: for every route, what its own code looks at, filled with what it does not expect.

The dictionary of names (of query parameters, headers and fields) is read from the surfaces' own source, so that what is
added to a surface tomorrow is fuzzed tomorrow.
"""

from __future__ import annotations

import ast
import functools
import http.client
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from starlette.routing import BaseRoute, Route

import laterna.api

SOURCE = Path(laterna.api.__file__).parent
WORD = re.compile(r"[a-z][a-z0-9_.-]{1,40}", re.I)
PARAMETER = re.compile(r"{(\w+)(?::(\w+))?}")
PATIENCE_SECONDS = 30.0  # for one answer; whoever takes longer hangs
FRAMING = ("content-length", "transfer-encoding", "host", "connection", "expect", "upgrade", "trailer", "te")

UGLY = [
    "", " ", ".", "..", "../../etc/passwd", "../key", "/", "//", "\\", "%", "%00", "%2e%2e%2fkey", "\x00", "\x7f",
    "é", "\r\nX-Evil: 1", "\U0001f600", "\ufeff", "null", "None", "true", "0", "-1", "-0", "1e309", "nan", "inf",
    "-inf", "0x10", "٣", "²", "1_000", "99999999999999999999", "9223372036854775808", "-9223372036854775809",
    "0" * 400 + "7", "9" * 5000, "1" + "0" * 5000, "a" * 3000, "2026-13-45", "0000-00-00", "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59+14:00", "0001-01-01", "0001-01-01T00:00:00-12:00", "2026-02-30T25:61",
    "2026-01-01T00:00:00+99:99", "P1D", "[]", "{}", "[[[[", '{"a":', "a=b,c=d,=,e=", "Key a:b", "Bearer",
    "Basic Og==", "'; DROP TABLE requests; --", "${jndi:ldap://x}", "test/blank", "test/blank/deep/down",
    "00000000-0000-0000-0000-000000000000", "bytes=0-", "bytes=-1", "bytes=9-1", "bytes=0-0,2-3", "*/*;q=nan",
    "wait=99999999999", "minute", "second", "Europe/../Berlin", "Africa/Cairo", "wait",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**400, 0.5, -0.0, 1e308, 5e-324, 1e16,
]  # fmt: skip
LETTERS = "abc019 .,:;/\\%&?#=+-_@'\"<>{}[]()\t\n\r\x00\x1f\x7fé€\u202e\ufffe\U0001f600"
TYPES = [
    "application/json", "multipart/form-data; boundary=b", "multipart/form-data", "", "text/plain", "é/;;=", "a" * 300,
    "application/x-www-form-urlencoded", "application/msgpack", "image/png",
]  # fmt: skip
FORMS = [
    b'--b\r\ncontent-disposition: form-data; name="content"; filename="../../x"\r\n\r\nx\r\n--b--\r\n',
    b'--b\r\ncontent-disposition: form-data; name="metadata"\r\n\r\n{"a":\r\n--b--\r\n',
    b'--b\r\ncontent-disposition: form-data; name="content"; filename*=utf-8\'\'%ff\r\n\r\n\xff\r\n--b--\r\n',
    b"--b\r\n\r\n", b"--b", b"--b--", b"a=b&c=%ff&d", b"\x00" * 100, b"\x81\xa1\xff",
]  # fmt: skip
TRAPS = [
    b"[" * 70 + b"]" * 70,
    b'{"a":' * 5000,
    b"[" * 100_000,
    b'"\\ud800"',
    b'{"prompt":"\\u0000"}',
    b"-",
    b"\xef\xbb\xbf{}",
]
INPUTS = ["prompt", "num_images", "seed", "image_size", "sync_mode", "width", "height"]


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request, as bytes on the wire would have it."""

    method: str
    path: str  # percent-encoded, with its query
    headers: Sequence[tuple[str, str]]  # values as latin-1
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Answered:
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes


@functools.cache
def _mentioned(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Words that one module of the surfaces gives to calls or names, and the modules that it imports."""
    words: set[str] = set()
    imported: set[str] = set()
    for node in ast.walk(ast.parse((SOURCE / f"{module}.py").read_text())):
        if isinstance(node, ast.Call | ast.Assign):
            parts = node.args if isinstance(node, ast.Call) else [node.value]
            given = [one.value for one in parts if isinstance(one, ast.Constant)]
            words.update(one for one in given if isinstance(one, str) and WORD.fullmatch(one))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            words.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{laterna.api.__name__}."):
            imported.add(str(node.module).rpartition(".")[2])
    return frozenset(words), frozenset(imported)


@functools.cache
def words_of(module: str) -> Sequence[str]:
    """Names that a module of the surfaces and those that it imports look for."""
    words, imported = _mentioned(module)
    return sorted(words.union(*(_mentioned(one)[0] for one in imported), INPUTS) - set(FRAMING))


@functools.cache
def every_word() -> Sequence[str]:
    """Of all surfaces."""
    return sorted({word for path in SOURCE.glob("*.py") for word in words_of(path.stem)})


@functools.cache
def header_names() -> Sequence[str]:
    """Those that the surfaces mention: they have a hyphen."""
    return [*(name for name in every_word() if "-" in name), "accept", "range", "prefer", "origin", "cookie"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One method of one route."""

    method: str
    path: str
    module: str  # where its code is


def served(routes: Sequence[BaseRoute]) -> list[Served]:
    """Every method of every route over HTTP."""
    found = [
        Served(method=method, path=route.path, module=route.endpoint.__module__.rpartition(".")[2])
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or ())
    ]
    return sorted((one for one in found if one.method != "HEAD"), key=lambda one: (one.path, one.method))


class Fuzzer:
    """Draws requests to one route after another.

    Args:
        known: values that mean something, by the name of a path's parameter.
        keys: values of the header with the key; the first may everything.
        seed: the same one draws the same requests.
    """

    def __init__(self, known: Mapping[str, Sequence[str]], keys: Sequence[str], seed: int) -> None:
        self._known, self._keys, self._chance = known, keys, Random(seed)
        self._values = sorted({value for values in known.values() for value in values})

    def request(self, to: Served) -> Sent:
        chance = self._chance
        words = [words_of(to.module)] * 3 + [every_word()]
        names = [chance.choice(chance.choice(words)) for _ in range(chance.choice((0, 1, 2, 4, 6)))]
        query = "&".join(f"{name}={quote_from_bytes(self.text().encode('utf-8', 'replace'))}" for name in names)
        headers = [(chance.choice(header_names()), header(self.text())) for _ in range(chance.choice((0, 0, 1, 2, 4)))]
        key = self._keys[0] if chance.random() < 0.8 else chance.choice(self._keys)
        kind, body = self.body([name for some in words for name in some])
        if to.method == "GET" and chance.random() < 0.8:
            kind, body = "", b""
        every = [*headers, ("authorization", header(key)), ("content-type", header(kind))]
        whole = "".join(self._segment(*piece) for piece in _pieces(to.path))
        return Sent(method=to.method, path=whole + ("?" + query if query else ""), headers=every, body=body)

    def text(self) -> str:
        """A value that means something, one that should not be, or noise."""
        chance = self._chance
        if chance.random() < 0.3:
            return chance.choice(self._values)
        if chance.random() < 0.7:
            return chance.choice(UGLY)
        return "".join(chance.choice(LETTERS) for _ in range(chance.randrange(12)))

    def value(self, depth: int = 0) -> Any:
        """Any JSON value."""
        chance = self._chance
        if depth < 3 and chance.random() < 0.25:
            if chance.random() < 0.4:
                return [self.value(depth + 1) for _ in range(chance.randrange(4))]
            return {chance.choice(every_word()): self.value(depth + 1) for _ in range(chance.randrange(4))}
        return chance.choice(
            [None, True, False, chance.choice(NUMBERS), chance.randrange(-5, 5000), self.text(), self.text()]
        )

    def body(self, words: Sequence[str]) -> tuple[str, bytes]:
        """Content type and bytes: JSON of these words, JSON that is none, forms, noise."""
        chance = self._chance
        found = {chance.choice(words): self.value() for _ in range(chance.randrange(5))}
        if chance.random() < 0.7:
            made = {"prompt": "a fox", **{name: self.value() for name in chance.sample(INPUTS, chance.randrange(3))}}
            found = {**made, "model": "test/blank", "version": "test/blank", "input": made, **found}
        text = json.dumps(found if chance.random() < 0.9 else self.value()).encode()
        if chance.random() < 0.6:
            return "application/json", text
        noise = chance.randbytes(chance.randrange(60))
        return chance.choice(TYPES), chance.choice(
            [text, text[: chance.randrange(40)], chance.choice(TRAPS), chance.choice(FORMS), noise]
        )

    def _segment(self, literal: str, parameter: str, kind: str) -> str:
        chance = self._chance
        if not parameter:
            return literal
        if chance.random() < 0.6:
            return quote_from_bytes(chance.choice(self._known.get(parameter, self._values)).encode(), safe="/.")
        if kind == "int":
            return chance.choice(["0", "1", "10001", "99999999999999999999", "9" * 400])
        value = (
            self.text().encode("utf-8", "replace") if chance.random() < 0.8 else chance.randbytes(chance.randrange(12))
        )
        return quote_from_bytes(value, safe="/.\\;")


def header(value: str) -> str:
    """What a header can carry at all, as latin-1."""
    return "".join(
        char for char in value.encode().decode("latin-1") if char == "\t" or (char >= " " and char != "\x7f")
    )[:8000]


def _pieces(path: str) -> list[tuple[str, str, str]]:
    """(literal, "", "") and ("", parameter, kind), in their order."""
    found, at = [], 0
    for match in PARAMETER.finditer(path):
        found += [(path[at : match.start()], "", ""), ("", match[1], match[2] or "str")]
        at = match.end()
    return [*found, (path[at:], "", "")]


class Wire:
    """A connection that says what it is told, and opens anew where the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def send(self, sent: Sent) -> Answered:
        """Raises TimeoutError for a server that hangs."""
        try:
            return self._send(sent)
        except (http.client.RemoteDisconnected, ConnectionError):
            return self._send(sent)  # it was closed meanwhile, as an idle one may be

    def close(self) -> None:
        self._connection.close()

    def _send(self, sent: Sent) -> Answered:
        connection = self._connection
        try:
            connection.putrequest(sent.method, sent.path, skip_accept_encoding=True)
            for name, value in sent.headers:
                connection.putheader(name, value.encode("latin-1"))
            connection.putheader("content-length", str(len(sent.body)))
            connection.endheaders(sent.body)
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(status=answer.status, headers=headers, body=answer.read())
        except BaseException:
            connection.close()
            raise
