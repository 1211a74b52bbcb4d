"""HTTP calls that end with the task that makes them: in time, or when it is cancelled."""

__all__ = ("ServiceError", "ask", "fetch", "wake")

import contextlib
import json
import socket
from collections.abc import Iterable
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from cano_sync import CancellationToken

HEADERS = {"Content-Type": "application/json", "X-OpenRTB-Version": "2.6"}


class ServiceError(Exception):
    """A service answered, but not what it was asked."""


def fetch(url: str, cancel: CancellationToken, body: bytes | None = None) -> bytes:
    """GET a URL, or POST `body` to it, and return what is answered.

    The call has as long as its task has. A cancellation hangs up at once: the thread that waits
    here comes back to the pool instead of waiting for an answer that nobody wants any more.

    Raises:
        ServiceError: the status says that there was an error.
        OSError, http.client.HTTPException: the connection failed.
    """
    address = urlsplit(url)
    target = f"{address.path}?{address.query}" if address.query else address.path
    host, port = address.hostname or "", address.port
    connection = HTTPConnection(host, port, timeout=cancel.remaining(default=5.0))
    with contextlib.closing(connection):
        connection.connect()
        with cancel.on_cancel(partial(hang_up, connection.sock)):
            connection.request("GET" if body is None else "POST", target, body, HEADERS)
            with connection.getresponse() as response:
                answer = response.read()
    if response.status >= 400:
        raise ServiceError(f"status {response.status} {response.reason}")
    return answer


def hang_up(sock: socket.socket) -> None:
    """End the conversation on a socket that another thread may be waiting for.

    Shut down, not closed: only that wakes a thread in `recv`, and only the thread that uses a
    socket can know when its descriptor is free to be given to somebody else.
    """
    with contextlib.suppress(OSError):  # the other side was quicker
        sock.shutdown(socket.SHUT_RDWR)


def ask(url: str, question: dict[str, Any] | bytes, cancel: CancellationToken) -> Any:
    """POST a question as JSON (or as the JSON that it is already), and read the answer as JSON.

    Raises:
        ServiceError: the answer is an error, or no JSON. And what else `fetch` raises.
    """
    body = question if isinstance(question, bytes) else json.dumps(question).encode()
    answer = fetch(url, cancel, body)
    if not answer:
        return None  # as in "204 No Content"
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ServiceError(f"no JSON but {answer[:40]!r}") from error


def wake(urls: Iterable[str]) -> None:
    """Ask each service for its health. One that is down will be missed soon enough."""
    for url in urls:
        with contextlib.suppress(OSError, HTTPException):
            fetch(f"{url}/health", CancellationToken())
