"""Servers of S3 and Google Cloud Storage on this machine, and one in front that fails on demand."""

import contextlib
import http.client
import json
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest
from helpers import free_port

Fault = Callable[[str, str], int | None]
"""What becomes of a request, by method and path: a status, 0 for a connection that is cut in the
middle of it, None for an answer of the server."""


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a server of S3 with the empty bucket `bucket`. Skips where it is missing."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=free_port(), verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server._port}"
    try:
        for method, path in (("POST", "/moto-api/reset"), ("PUT", "/bucket")):
            request = urllib.request.Request(url + path, method=method)
            urllib.request.urlopen(request, timeout=30).close()
        yield url
    finally:
        server.stop()


def use_s3(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Makes this process use a server of S3, whatever the one before was."""
    import fsspec.config

    for name, value in s3_environment(url).items():
        monkeypatch.setenv(name, value)
    options = {"endpoint_url": url, "skip_instance_cache": True}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)


def s3_environment(url: str) -> dict[str, str]:
    """Variables with which a process uses that server."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    # Below the tries of this library lie some of s3fs and, without the last one, of botocore.
    more = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
    return {"FSSPEC_S3_ENDPOINT_URL": url, **keys, **more}


@contextlib.contextmanager
def gcs_server() -> Iterator[str]:
    """The URL of a server of Google Cloud Storage with the bucket `bucket`. Skips without it."""
    pytest.importorskip("gcsfs")
    emulator = pytest.importorskip("gcp_storage_emulator.server")
    port = free_port()
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    with mock.patch.object(emulator, "_read_data", partial(_whole_parts, emulator._read_data)):
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()


def _whole_parts(read: Callable[..., Any], handler: BaseHTTPRequestHandler, query: Any) -> Any:
    """What an upload in one request holds: the emulator loses a byte where it ends with `\\r`."""
    kind = handler.headers.get("Content-Type", "")
    if not kind.startswith("multipart/related"):
        return read(handler, query)
    body = handler.rfile.read(int(handler.headers["Content-Length"]))
    mark = b"--" + re.findall(r'boundary="?([^";]+)', kind)[0].encode()
    line = b"\r\n" if body.startswith(mark + b"\r\n") else b"\n"
    meta, content = (
        part.partition(line + line) for part in body.removesuffix(mark + b"--").split(mark)[1:3]
    )
    types = re.findall(rb"Content-Type: *([^\s;]+)", content[0])
    return {
        "meta": json.loads(meta[2]),
        "content": content[2].removesuffix(line),
        "content-type": types[0].decode() if types else "application/octet-stream",
    }


def gcs_environment(url: str) -> dict[str, str]:
    """Variables with which a process uses that server, fsspec's part and Orbax's."""
    return {
        "STORAGE_EMULATOR_HOST": url,
        "TENSORSTORE_GCS_HTTP_URL": url,
        "GOOGLE_CLOUD_PROJECT": "project",
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "token",
    }


@contextlib.contextmanager
def failing(url: str, fault: Fault) -> Iterator[str]:
    """The URL of a server that passes requests on to `url`, except where `fault` says otherwise."""
    host = url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self._body()
            status = fault(self.command, self.path)
            if status == 0:
                self.close_connection = True
                self.connection.close()
                return
            if status is not None:
                code = "AccessDenied" if status == 403 else "SlowDown"
                self._send(status, [], f"<Error><Code>{code}</Code></Error>".encode())
                return
            connection = http.client.HTTPConnection(host, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "transfer-encoding"}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            self._send(response.status, response.getheaders(), response.read())

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = answer

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
            self.headers["Content-Length"] = str(len(body))
            return body

        def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            skipped = ("transfer-encoding", "connection")
            head = self.command == "HEAD"
            for name, value in headers:
                if name.lower() not in skipped and (head or name.lower() != "content-length"):
                    self.send_header(name, value)
            if not head:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not head:
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:  # a client that hung up
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
