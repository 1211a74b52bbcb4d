"""The HTTP calls of the ad exchange: in time, hung up on, or with an error that says why."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cano_sync import CancellationToken
from cano_sync.demo.http import ServiceError, ask, fetch


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def url_of(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}/ask"


def test_a_cancellation_hangs_up_on_a_service_that_does_not_answer(listener) -> None:
    """Both ends notice: the caller gets out of its wait, and the service reads the end."""
    cancel = CancellationToken()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(fetch, url_of(listener), cancel)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(4096).startswith(b"GET /ask ")
            cancel.cancel("too late")
            assert connection.recv(4096) == b""
        with pytest.raises(ConnectionError):
            call.result(timeout=20)


def test_a_call_takes_no_longer_than_its_task_has(listener) -> None:
    """The token's time limit is the call's: nobody cancels, and nobody answers."""
    with pytest.raises(OSError):  # which one: as its own time limit or the hang-up is first
        fetch(url_of(listener), CancellationToken(timeout=0.05))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 500 Oh No\r\nContent-Length: 0\r\n\r\n", "status 500 Oh No"),
        (b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", "status 404 Gone"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no JSON but b'<html>'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff", "no JSON but"),
    ],
)
def test_an_answer_that_is_an_error_or_no_json_says_so(listener, reply: bytes, why: str) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(reply)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with pytest.raises(ServiceError, match=why):
            ask(url_of(listener), {}, CancellationToken())
    finally:
        server.join(20)
