"""A server on this machine that answers as the Hugging Face Hub does, and fails when it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

COMMIT = "1234567890abcdef1234567890abcdef12345678"


@dataclass
class Fault:
    """How the next answers to requests for a path with these words fail, so many times."""

    words: str
    status: int = 200
    times: int = 1_000_000
    headers: dict[str, str] = field(default_factory=dict)
    cut_body: bool = False
    """Promise the whole body, and break off in the middle."""
    drips: bool = False
    """Give the body a byte at a time."""
    body: bytes | None = None


@dataclass
class FakeHub:
    """Serves `folder/{datasets|models}/OWNER/NAME/FILE`, whatever the revision; `folder/raw/…` as any server does."""

    folder: Path
    port: int = 0
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """For `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def fault_of(self, path: str, with_body: bool) -> Fault | None:
        """The fault that this request meets; breaking off needs a body to break."""
        for fault in self.faults:
            if fault.words in path and fault.times > 0 and (with_body or not fault.cut_body):
                fault.times -= 1
                return fault
        return None


@contextlib.contextmanager
def fake_hub(folder: Path) -> Iterator[FakeHub]:
    """Serve a folder until the block ends."""
    hub = FakeHub(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_POST(self) -> None:
            """`paths-info`: which of some paths of a repository are files."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            path = urllib.parse.unquote(self.path).strip("/")
            hub.requests.append(f"POST {path}")
            asked = json.loads(body)["paths"] if body.startswith("{") else urllib.parse.parse_qs(body).get("paths", [])
            repository = hub.folder / "/".join(path.split("/")[1:4])
            entries = [self.entry(repository, repository / name) for name in asked if (repository / name).exists()]
            self.send(200, json.dumps(entries).encode(), True)

        def entry(self, repository: Path, path: Path) -> dict[str, object]:
            name, kind = str(path.relative_to(repository)), "file" if path.is_file() else "directory"
            content = path.read_bytes() if path.is_file() else b""
            return {"type": kind, "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def answer(self, with_body: bool) -> None:
            path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path).strip("/")
            hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
            fault = hub.fault_of(path, with_body)
            if fault and fault.status >= 400:
                self.send(fault.status, b"", with_body, fault.headers)
                return
            parts = path.split("/")
            if parts[0] == "raw":
                self.send_file(hub.folder / path, with_body, fault)
            elif parts[0] == "api" and len(parts) > 5 and parts[4] == "tree":
                self.send_tree(hub.folder / "/".join(parts[1:4]), parts[5:], with_body)
            elif parts[0] == "api":
                info = {"id": "/".join(parts[2:4]), "sha": COMMIT, "private": False, "siblings": [], "tags": []}
                known = (hub.folder / "/".join(parts[1:4])).is_dir()
                self.send(200, json.dumps(info).encode(), with_body) if known else self.missing("RepoNotFound")
            else:
                kind, *parts = parts if parts[0] == "datasets" else ["models", *parts]
                place = parts.index("resolve") if "resolve" in parts else len(parts)
                repository = hub.folder / kind / "/".join(parts[:place])
                tail = "/".join(parts[place + 1 :])
                found = [path for path in repository.rglob("*") if tail.endswith(str(path.relative_to(repository)))]
                found = [path for path in found if path.is_file()]
                if not repository.is_dir() or not found:
                    self.missing("EntryNotFound" if repository.is_dir() else "RepoNotFound")
                else:
                    self.send_file(max(found, key=lambda path: len(str(path))), with_body, fault)

        def missing(self, code: str) -> None:
            self.send(404, b"", True, {"X-Error-Code": code})

        def send_tree(self, repository: Path, revision_and_path: list[str], with_body: bool) -> None:
            below = next(
                (folder for n in range(1, 5) if (folder := repository.joinpath(*revision_and_path[n:])).is_dir()), None
            )
            if below is None or not repository.is_dir():
                self.missing("EntryNotFound" if repository.is_dir() else "RepoNotFound")
                return
            listed = [self.entry(repository, path) for path in sorted(below.rglob("*"))]
            self.send(200, json.dumps(listed).encode(), with_body)

        def send_file(self, path: Path, with_body: bool, fault: Fault | None) -> None:
            if not path.is_file():
                self.send(404, b"", with_body)
                return
            content = path.read_bytes() if fault is None or fault.body is None else fault.body
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            asked = self.headers.get("Range")
            status, first = 200, 0
            if asked:
                status, first = 206, int(asked.removeprefix("bytes=").partition("-")[0])
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            drips = bool(fault and fault.drips and with_body)
            self.send(status, content[first:], with_body and not drips, headers, bool(fault and fault.cut_body))
            with contextlib.suppress(OSError):  # nobody waits for it any more
                for number in content[first:] if drips else b"":
                    self.wfile.write(bytes([number]))
                    time.sleep(0.05)

        def send(
            self,
            status: int,
            body: bytes,
            with_body: bool,
            headers: dict[str, str] | None = None,
            breaks_off: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body[: len(body) // 2] if breaks_off else body)
            if breaks_off:
                self.close_connection = True

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
