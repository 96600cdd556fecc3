"""A Hugging Face Hub on this machine, of one data set: the requests that reading it takes."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest


class Hub:
    """What the server knows: folders of commits by their hashes, and the branch `main`."""

    def __init__(self, name: str):
        self.name, self.commits, self.main = name, dict[str, Path](), ""
        self.requests: list[str] = []

    def push(self, folder: Path) -> str:
        """Makes a folder the newest commit. Its hash."""
        self.main = hashlib.sha1(str(folder).encode()).hexdigest()
        self.commits[self.main] = folder
        return self.main

    def commit(self, revision: str) -> str | None:
        """The hash of the commit that a revision names."""
        return self.main if revision == "main" else revision if revision in self.commits else None


@contextlib.contextmanager
def hub_server(monkeypatch: pytest.MonkeyPatch, name: str = "user/set") -> Iterator[Hub]:
    """A Hub with the data set `name`, which `hf://` means in this process."""
    pytest.importorskip("huggingface_hub")
    import fsspec.config

    hub = Hub(name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "token": False,
        "skip_instance_cache": True,
    }
    monkeypatch.setitem(fsspec.config.conf, "hf", options)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.hub.requests.append(url.path)
        path = unquote(url.path).strip("/")
        api, files = f"api/datasets/{self.hub.name}", f"datasets/{self.hub.name}/resolve/"
        if path == api or path.startswith(f"{api}/revision/"):
            commit = self.hub.commit(path.removeprefix(api).removeprefix("/revision/") or "main")
            if commit is None:
                return self._refuse("RevisionNotFound")
            return self._answer({"id": self.hub.name, "sha": commit, "siblings": []})
        if path.startswith(f"{api}/tree/"):
            return self._tree(path.removeprefix(f"{api}/tree/"), parse_qs(url.query))
        if path.startswith(files):
            return self._file(path.removeprefix(files))
        return self._refuse("RepoNotFound")

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        names = parse_qs(self.rfile.read(length).decode())["paths"]
        commit = self.hub.commit(unquote(self.path).rpartition("/")[2])
        assert commit is not None
        folder = self.hub.commits[commit]
        self._answer([_row(folder, folder / name) for name in names if (folder / name).exists()])

    def _tree(self, place: str, query: dict[str, list[str]]) -> None:
        revision, _, inside = place.partition("/")
        commit = self.hub.commit(revision)
        if commit is None:
            return self._refuse("RevisionNotFound")
        folder = self.hub.commits[commit]
        if not (folder / inside).is_dir():
            return self._refuse("EntryNotFound")
        deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        paths = sorted((folder / inside).rglob("*") if deep else (folder / inside).iterdir())
        return self._answer([_row(folder, path) for path in paths])

    def _file(self, place: str) -> None:
        revision, _, name = place.partition("/")
        commit = self.hub.commit(revision)
        path = self.hub.commits[commit] / name if commit else None
        if path is None or not path.is_file():
            return self._refuse("EntryNotFound")
        content, status = path.read_bytes(), 200
        if span := self.headers.get("Range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            content, status = content[int(first) : int(last) + 1], 206
        return self._send(status, content, {})

    def _answer(self, document: object) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _refuse(self, code: str) -> None:
        self._send(404, b"{}", {"X-Error-Code": code})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def _row(folder: Path, path: Path) -> dict[str, object]:
    """A file or folder as the Hub tells of it."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    content = path.read_bytes()
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": name, "oid": oid, "size": len(content)}
