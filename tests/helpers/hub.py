"""A model hub on loopback that serves one folder, and may break off in the middle of a file."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0" * 39 + "1"
NAME = "someone/miniature"  # of the one model that it has


class Hub(ThreadingHTTPServer):
    """Serves a folder as the model `NAME`, by the hub's own protocol."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.halves = False  # whether files of weights end in the middle

    @property
    def address(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self._send(json.dumps(self._listed("/tree/" in path)).encode(), with_body)
            return
        file = self.server.folder / path.partition(f"/{NAME}/resolve/")[2].partition("/")[2]
        if file.is_file():
            self._send(file.read_bytes(), with_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _listed(self, as_tree: bool) -> object:
        """The files of the model, in one of the hub's two forms."""
        files = [file for file in self.server.folder.rglob("*") if file.is_file()]
        names = {str(file.relative_to(self.server.folder)): file for file in files}
        if not as_tree:
            return {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": n} for n in names]}
        return [
            {"type": "file", "path": name, "size": file.stat().st_size, "oid": COMMIT}
            for name, file in names.items()
        ]

    def _send(self, body: bytes, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if with_body:
            cut_off = self.server.halves and self.path.endswith(".safetensors")
            self.wfile.write(body[: len(body) // 2] if cut_off else body)
        self.close_connection = True


@contextmanager
def hub(folder: Path) -> Iterator[Hub]:
    """A hub for the length of a ``with`` block."""
    with Hub(folder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
