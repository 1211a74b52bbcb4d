"""What all tests with servers are: marked, limited in time, and rid of what they have started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.harness import Server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them all."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.servers)
            item.add_marker(pytest.mark.timeout(100))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`start(command, ...)` starts a server; it is killed when the test has ended."""
    started: list[Server] = []

    def start(command: list[str], **options: Any) -> Server:
        started.append(Server(command, tmp_path, **options))
        return started[-1]

    yield start
    for server in started:
        server.kill()
