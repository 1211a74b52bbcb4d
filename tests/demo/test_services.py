"""The services of the ad exchange, each in a process of its own."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest

from cano_sync import CancellationToken
from cano_sync.demo import services
from cano_sync.demo.http import ask


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def end(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("hang_up", [reset, end])
@pytest.mark.parametrize(
    "said", [b"", b"POST /ask HTT", b"POST /ask HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"{"]
)
def test_a_service_does_not_mind_a_client_that_hangs_up(
    said: bytes, hang_up: Callable[[socket.socket], None]
) -> None:
    """Wherever in its question that is, the service says nothing, and answers the next one."""
    command = [sys.executable, "-P", services.__file__, "user", "ok", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as service:
        try:
            address = ("127.0.0.1", int(service.stdout.readline()))
            with socket.create_connection(address) as client:
                client.sendall(said)
                hang_up(client)
            url = f"http://127.0.0.1:{address[1]}/ask"
            assert "user" in ask(url, {}, CancellationToken())
        finally:
            _, err = service.communicate(timeout=20)  # which closes its standard input
    assert err == ""
