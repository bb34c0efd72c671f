"""A model hub on loopback: what `huggingface_hub` asks of one when it takes a snapshot, over folders of the test."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """Repositories by name, each a table of revisions; and everything that was asked."""

    repositories: dict[str, dict[str, Path]] = field(default_factory=dict)  # name -> branch, tag or commit -> folder
    gated: set[str] = field(default_factory=set)  # names whose files are not given away
    asked: list[str] = field(default_factory=list)  # method and path of each request
    credentials: list[str] = field(default_factory=list)  # Authorization headers that came
    address: str = ""

    def commit(self, folder: Path) -> str:
        return hashlib.sha1(str(folder).encode()).hexdigest()

    def folder(self, name: str, revision: str) -> Path | None:
        revisions = self.repositories[name]
        by_commit = {self.commit(path): path for path in revisions.values()}
        return revisions.get(revision) or by_commit.get(revision)

    def downloaded(self) -> list[str]:
        """Files whose content was asked for."""
        return sorted({line.partition("/resolve/")[2].partition("/")[2] for line in self.asked if "/resolve/" in line})


class Answer(Exception):
    """Ends a request with an error, in the hub's way."""

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            if held := self.headers.get("Authorization"):
                hub.credentials.append(held)
            try:
                self._give(path)
            except Answer as answer:
                self._reply(answer.status, b"{}", {"X-Error-Code": answer.code})

        def _give(self, path: str) -> None:
            parts = path.strip("/").split("/")
            is_api = parts[:2] == ["api", "models"]
            name = "/".join(parts[2:4] if is_api else parts[:2])
            if name not in hub.repositories:
                raise Answer(404, "RepoNotFound")
            kind, revision = (parts[4], parts[5]) if is_api else (parts[2], parts[3])
            folder = hub.folder(name, revision)
            if folder is None:
                raise Answer(404, "RevisionNotFound")
            if not is_api and name in hub.gated:
                raise Answer(403, "GatedRepo")
            if kind == "resolve":
                self._file(folder, "/".join(parts[4:]))
            else:
                self._list(name, folder, kind)

        def _list(self, name: str, folder: Path, kind: str) -> None:
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            names = [str(p.relative_to(folder)) for p in files]
            body: object = {"id": name, "sha": hub.commit(folder), "siblings": [{"rfilename": n} for n in names]}
            if kind == "tree":
                sizes = [(n, p.stat().st_size) for n, p in zip(names, files, strict=True)]
                body = [{"type": "file", "path": n, "size": size, "oid": f"{size:040x}"} for n, size in sizes]
            self._reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

        def _file(self, folder: Path, name: str) -> None:
            content = (folder / name).read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            self._reply(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": hub.commit(folder)})

        def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
