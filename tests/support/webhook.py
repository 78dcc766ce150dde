"""A real HTTP server on this machine that keeps what is POSTed to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Webhook:
    """Answers ``status``; a ``location`` makes it a redirection."""

    status: int = 204
    location: str = ""
    #: Whether it accepts the request and never answers.
    hangs: bool = False
    url: str = ""
    #: (path, headers, body) of each request.
    told: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def listening(hook: Webhook) -> Iterator[Webhook]:
    """Serve ``hook`` on a free port."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.told.append((self.path, dict(self.headers), body))
            if hook.hangs:
                over.wait()
            self.send_response(hook.status)
            if hook.location:
                self.send_header("Location", hook.location)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: Any) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hook.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hook
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
