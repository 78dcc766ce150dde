"""Silent, slow and too many clients: whoever asks gets an answer."""

from __future__ import annotations

import errno
import re
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from wsgiref.simple_server import make_server

import pytest

from hpsearch.dashboard import server as module
from hpsearch.dashboard.server import DashboardServer, RequestHandler, most_connections


def ok(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


@contextmanager
def serving(application=ok, limit: int = 4) -> Iterator[DashboardServer]:
    made = make_server("127.0.0.1", 0, application, DashboardServer, handler_class=RequestHandler)
    made.limit = limit
    with made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def connect(port: int, stack: ExitStack, sent: bytes = b"") -> socket.socket:
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=240))
    client.sendall(sent)
    return client


def ask(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=240) as answer:
        return bytes(answer.read())


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_silent_clients_give_way(sent):
    with serving() as server, ExitStack() as stack:
        for _ in range(20):
            connect(server.server_port, stack, sent)
        for _ in range(3):
            assert ask(server.server_port) == b"ok"
        assert len(server._connections) <= server.limit


def test_a_request_that_comes_byte_by_byte_is_ended(monkeypatch):
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.3)
    with serving() as server, ExitStack() as stack:
        slow = connect(server.server_port, stack, b"GET / HTTP/1.1\r\n")

        def has_ended() -> bool:
            try:
                slow.sendall(b"X")
                slow.settimeout(0.01)
                return slow.recv(100) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        until(has_ended)
        until(lambda: not server._connections)


def test_whoever_is_being_answered_stays_when_others_come():
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slowly(environ, start_response):
        begun.release()
        assert go_on.wait(60)
        return ok(environ, start_response)

    with serving(slowly, limit=2) as server, ExitStack() as stack:
        request = b"GET / HTTP/1.0\r\n\r\n"
        asked = [connect(server.server_port, stack, request) for _ in range(2)]
        for _ in asked:
            assert begun.acquire(timeout=240)
        waiting = connect(server.server_port, stack, request)
        connect(server.server_port, stack)
        go_on.set()
        for client in [*asked, waiting]:
            assert client.recv(12) == b"HTTP/1.0 200"


def test_without_descriptors_it_pauses_instead_of_trying_again_at_once(monkeypatch):
    pauses = []
    monkeypatch.setattr(module.time, "sleep", pauses.append)
    made = make_server("127.0.0.1", 0, ok, DashboardServer, handler_class=RequestHandler)
    with made:

        def accept():
            raise OSError(errno.EMFILE, "Too many open files")

        listening, made.socket = made.socket, type("Full", (), {"accept": staticmethod(accept)})()
        with pytest.raises(OSError, match="Too many open files"):
            made.get_request()
        made.socket = listening
    assert pauses == [module._PAUSE_SECONDS]


@pytest.mark.parametrize(("limit", "most"), [(32, 2), (64, 8), (256, 46), (4096, 64)])
def test_connections_leave_descriptors_for_the_rest(limit, most, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_connections() == most


SERVE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from hpsearch.dashboard.app import dashboard_server
from hpsearch.search.database.storage import Database
with dashboard_server(Database(sys.argv[1]), "127.0.0.1", 0) as server:
    print(f"port {server.server_port}.", flush=True)
    server.serve_forever()
"""


def test_sixty_silent_clients_and_sixty_four_descriptors(searched):
    url = searched.database.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, url], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        port = int(re.findall(r"port (\d+)\.", process.stdout.readline())[0])
        with ExitStack() as stack:
            for _ in range(60):
                connect(port, stack)
            for _ in range(3):
                address = f"http://127.0.0.1:{port}/api/studies"
                with urllib.request.urlopen(address, timeout=240) as answer:
                    assert b"made_up" in answer.read()
    finally:
        process.kill()
        process.communicate()
