"""The dashboard of a database on a free port, in a thread of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tuner.dashboard.serve import application
from tuner.storage.database import Storage


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Print no line for each request."""


@contextmanager
def served(storage: Storage) -> Iterator[str]:
    """Serve a database as `tuner dashboard` does; yields the address."""
    with make_server("127.0.0.1", 0, application(storage), _Server, _Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
