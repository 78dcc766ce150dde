"""A small threading WSGI server that a few silent or slow clients can't block.

One thread serves one connection, which is one request. The number of connections is bounded by the
file descriptors that this process may have. If all are taken, the oldest connection without a
complete request is closed, as a browser sends its request at once.
"""

from __future__ import annotations

import errno
import logging
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from threading import Condition
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

logger = logging.getLogger(__name__)

#: Most seconds until a request, its line and headers, is complete.
REQUEST_SECONDS = 10.0

#: Most seconds for one write of the answer, which is usually all of it.
ANSWER_SECONDS = 300.0

#: Seconds after which a connection without a complete request may be closed if others wait. With
#: less, one whose request has arrived but wasn't read yet would be closed, too.
SILENCE_SECONDS = 0.5

#: Seconds after which a connection that is being answered may be closed if others wait.
PATIENCE_SECONDS = 60.0

MOST_CONNECTIONS = 64

#: The errors if no descriptor or memory is left for one more connection.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: Seconds until the next check for a free connection.
_PAUSE_SECONDS = 0.2


def most_connections() -> int:
    """Return how many connections this process has file descriptors for.

    The program itself needs some; each request needs its socket, a connection to the database
    (three files of SQLite) and a picture.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(2, min(MOST_CONNECTIONS, (limit - 24) // 5))


@dataclass
class _Connection:
    socket: socket.socket
    since: float
    #: Whether its request is complete.
    has_request: bool = False
    #: Whether it was shut down.
    dropped: bool = False


class DashboardServer(ThreadingMixIn, WSGIServer):
    """One thread per connection, and a bounded number of them."""

    daemon_threads = True
    request_queue_size = 128
    #: Called between requests, about twice a second; an exception of it ends the server.
    still_there: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.limit = most_connections()
        self._connections: dict[int, _Connection] = {}
        self._changed = Condition()
        super().__init__(*arguments, **options)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection if there is room for it.

        Returns:
            The socket and the client's address.

        Raises:
            OSError: There is no room, so that the connection stays in the kernel's queue.
        """
        if not self._has_room():
            raise OSError("every connection is in use")
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                # The connection is still in the queue, so the loop would try again at once
                self._drop_one()
                time.sleep(_PAUSE_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a new thread."""
        with self._changed:
            self._connections[id(request)] = _Connection(request, time.monotonic())
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        with self._changed:
            self._connections.pop(id(request), None)
            self._changed.notify_all()

    def record_request(self, request: Any) -> None:
        """Record that a connection's request is complete."""
        with self._changed:
            connection = self._connections.get(id(request))
            if connection is not None:
                connection.has_request, connection.since = True, time.monotonic()

    def service_actions(self) -> None:
        """End connections whose request takes too long, and call ``still_there``."""
        super().service_actions()
        self.still_there()
        now = time.monotonic()
        with self._changed:
            for connection in self._connections.values():
                if not connection.has_request and now - connection.since > REQUEST_SECONDS:
                    _drop(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the error in one line, unless the client has closed the connection."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError | ValueError):  # ValueError: write to a closed file
            logger.error("a request failed: %s: %s", type(error).__name__, error)

    def _has_room(self) -> bool:
        with self._changed:
            if len(self._connections) < self.limit:
                return True
        self._drop_one()
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._connections) < self.limit, timeout=_PAUSE_SECONDS
            )

    def _drop_one(self) -> None:
        """End the longest silent connection, or if there is none, the longest answered one."""
        now = time.monotonic()
        with self._changed:
            candidates = [
                connection
                for connection in self._connections.values()
                if not connection.dropped
                and now - connection.since
                > (PATIENCE_SECONDS if connection.has_request else SILENCE_SECONDS)
            ]
            if candidates:
                _drop(
                    min(
                        candidates,
                        key=lambda connection: (connection.has_request, connection.since),
                    )
                )


def _drop(connection: _Connection) -> None:
    if not connection.dropped:
        connection.dropped = True
        with suppress(OSError):  # the client may have closed it
            # Its thread, which reads or writes, then fails and closes it
            connection.socket.shutdown(socket.SHUT_RDWR)


class DashboardServerV6(DashboardServer):
    """The same for an IPv6 address."""

    address_family = socket.AF_INET6


class RequestHandler(WSGIRequestHandler):
    """Logs no requests: the terminal belongs to the person who started the server."""

    timeout = REQUEST_SECONDS

    def parse_request(self) -> bool:
        """Read the headers; return whether there is a valid request to answer."""
        whole = super().parse_request()
        if whole and isinstance(self.server, DashboardServer):
            self.server.record_request(self.request)
            self.connection.settimeout(ANSWER_SECONDS)
        return whole

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""
