"""A server in processes of its own: started on a free port, asked, loaded, stopped, in time."""

from __future__ import annotations

__all__ = ("GRACE", "MARGIN", "Answer", "Load", "Server", "block", "free_port", "python", "recipe")

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.docs import pages

GRACE = 3
"""Seconds of grace of all these servers."""
MARGIN = 1.5
"""Seconds that a crowded machine may add to what is looked at on the clock."""
LONGEST = 25.0
"""Seconds after which nothing is waited for any more."""


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def block(name: str) -> str:
    """What the guide shows as the file of that name."""
    for each in pages.blocks_of(pages.BOOK / "guides" / "draining.md"):
        if each.options.get("caption") == name:
            return each.code
    raise AssertionError(f"the guide shows no {name}")


def recipe(name: str, folder: Path) -> Path:
    """The file of that name that the guide shows, with the grace of the tests."""
    code = block(name)
    assert code.count("20") == 1, name
    path = folder / name
    path.write_text(code.replace("20", str(GRACE)), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    status: int  # 0: there was no answer
    body: dict[str, Any]
    seconds: float
    error: str = ""


class Server:
    """A server's processes.

    Args:
        command: starts it; "{port}" stands for its port.
        folder: where it is started, and where its output goes.
        environment: what its environment has beside that of the tests.
        ready: the path that answers when it is ready.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        ready: str = "/ready",
    ) -> None:
        self.port = free_port()
        self.folder = folder
        self.begun = folder / f"begun-{self.port}"
        self.log = folder / f"log-{self.port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{pages.ROOT}{os.pathsep}{folder}",
                    "PYTHONUNBUFFERED": "1",
                    "BEGUN": str(self.begun),
                    **(environment or {}),
                },
            )
        try:
            self._wait_until_ready(ready)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, path: str) -> None:
        end = time.monotonic() + LONGEST
        while (answer := self.get(path, timeout=5)).status != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the server does not answer ({answer}):\n{self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """What it has written on its outputs."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str, *, timeout: float = LONGEST) -> Answer:
        """Ask it, on a connection of its own."""
        began = time.monotonic()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
            with suppress(ValueError):
                return Answer(response.status, json.loads(body), time.monotonic() - began)
            return Answer(response.status, {}, time.monotonic() - began, body.decode()[:2000])
        except (OSError, HTTPException) as error:
            return Answer(0, {}, time.monotonic() - began, repr(error))
        finally:
            connection.close()

    def have_begun(self) -> list[str]:
        """The requests that the application has begun."""
        return self.begun.read_text().split("\n")[:-1] if self.begun.exists() else []

    def wait_until_begun(self, count: int, what: str) -> None:
        """Wait until so many requests whose names begin like this have begun."""
        end = time.monotonic() + LONGEST
        while sum(name.startswith(what) for name in self.have_begun()) < count:
            assert time.monotonic() < end, f"{self.have_begun()}\n{self.said()}"
            time.sleep(0.01)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal to its first process; returns the seconds until that has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the server does not end:\n{self.said()}")
        return time.monotonic() - began

    def is_gone(self) -> bool:
        """Whether none of its processes runs any more, a moment later at most."""
        end = time.monotonic() + 1
        while self._runs():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _runs(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        # What has ended and waits for its parent to take notice is there, too.
        states = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
                states += [state] if int(group) == self.process.pid else []
        return not states or set(states) != {"Z"}

    def kill(self) -> None:
        """End what is left of it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Load:
    """Clients that ask one request after the other, from their threads, until they are refused."""

    def __init__(self, server: Server, path: Callable[[str], str], clients: int = 6) -> None:
        self._server = server
        self._path = path
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._futures = [self._pool.submit(self._ask, number) for number in range(clients)]

    def _ask(self, number: int) -> dict[str, Answer]:
        answers = {}
        for count in range(10_000):
            name = f"load-{number}-{count}"
            answers[name] = answer = self._server.get(self._path(name))
            if answer.status == 0 or self._stop.is_set():
                break
        return answers

    def end(self) -> dict[str, Answer]:
        """What came of all requests, by their names."""
        self._stop.set()
        answers = {}
        for future in self._futures:
            answers.update(future.result(LONGEST))
        self._pool.shutdown()
        return answers


def python(*arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, *arguments]
