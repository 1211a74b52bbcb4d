"""Closing connections, so that their places at the server are free when it is done."""

from __future__ import annotations

__all__ = ("close",)

import logging
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.db import connections

_log = logging.getLogger("cano_sync.django")

FAREWELL = 0.25
"""Seconds that PostgreSQL gets at most to end the processes of closed connections."""


def close(opened: Sequence[Any]) -> None:
    """Close these connections; what fails is logged. On the thread that they belong to.

    PostgreSQL keeps the place of a connection until the process that served it has ended, a little
    after the client has closed it: the next request could be refused though nobody is connected
    any more. That process closes its end of the socket last of all. So a second handle of the
    socket is kept here, on which that end is waited for.
    """
    handles = [handle for each in opened if (handle := _second_handle(each)) is not None]
    for connection in opened:
        try:
            connection.close()
        except Exception:
            _log.exception("database %r: a connection could not be closed", connection.alias)
        if connection.in_atomic_block:  # a block that nobody has left: it would be so for ever
            del connections[connection.alias]
    deadline = time.monotonic() + FAREWELL
    for handle in handles:
        with handle:
            _wait_for_the_end(handle, deadline)


def _second_handle(connection: Any) -> socket.socket | None:
    """Of a connection to PostgreSQL that will be closed, and not given back to a pool."""
    if connection.vendor != "postgresql" or connection.pool is not None:
        return None
    try:
        return socket.fromfd(connection.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
    except Exception:  # it is broken, and has no socket any more
        return None


def _wait_for_the_end(handle: socket.socket, deadline: float) -> None:
    with suppress(OSError):  # the time was up, or the server has reset it
        while (left := deadline - time.monotonic()) > 0:
            handle.settimeout(left)
            if not handle.recv(1024):
                return
