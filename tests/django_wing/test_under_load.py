"""Whole requests, under a real server, against a PostgreSQL that has twenty connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.django_wing.servers import Cluster, a_cluster, can_make_clusters
from tests.kit import SOON, Eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not can_make_clusters(), reason="no programs of PostgreSQL, or no user"),
]

ROOT = Path(__file__).parents[2]
CONNECTIONS = 20
REQUESTS = 1_000


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with a_cluster(CONNECTIONS) as made:
        yield made


SITE = [sys.executable, "-m", "tests.django_wing.shop"]


def environment(cluster: Cluster, options: dict[str, Any]) -> dict[str, str]:
    """What the site's process reads."""
    where = {"port": cluster.server.port, "user": cluster.server.user, "name": "shop"}
    given = json.dumps({**where, **options})
    return {**os.environ, "PYTHONPATH": str(ROOT), "CANO_SHOP": given}


@dataclass(frozen=True, slots=True)
class Site:
    """The site, and what it answers."""

    port: int

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return response.status, json.loads(body) if is_json else body[:300]
        finally:
            connection.close()


@contextmanager
def a_site(cluster: Cluster, threads: int, **options: Any) -> Iterator[Site]:
    process = subprocess.Popen(
        [*SITE, "serve", str(threads)],
        cwd=ROOT,
        env=environment(cluster, options),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Site(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


def together(count: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("clients", "options"), [(4, {"pool": 8}), (1, {"bulkhead": 10})], ids=["pool", "bulkhead"]
)
def test_a_thousand_requests_with_a_split_of_25(
    cluster: Cluster, eventually: Eventually, clients: int, options: dict[str, int]
) -> None:
    """No failure; after a response nothing is left, but the pool's own."""
    failed: list[Any] = []
    most_left = 0
    left = options.get("pool", 0)

    def visit(number: int) -> None:
        nonlocal most_left
        for request in range(REQUESTS // clients):
            status, answer = site.get("/quote")
            if (status, answer) != (200, {"found": 25}):
                failed.append((request, status, answer))
            if clients == 1 and request % 20 == 0:
                most_left = max(most_left, cluster.count())

    with a_site(cluster, clients, **options) as site:
        begin = time.monotonic()
        together(clients, visit)
        print(f"{REQUESTS} requests in {time.monotonic() - begin:.1f} s, {most_left} left at most")
        assert failed == []
        assert most_left <= 1  # the view's own, which Django closes behind the response
        eventually(lambda: cluster.count() <= left)
    eventually(lambda: cluster.count() == 0)


def test_with_neither_it_is_said_before_and_by_the_branch_and_others_are_served_again(
    cluster: Cluster, eventually: Eventually
) -> None:
    checked = subprocess.run(
        [*SITE, "check", "--database", "default"],
        cwd=ROOT,
        env=environment(cluster, {}),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert "(cano_sync.W003)" in checked.stderr
    assert "104 connections for 4 requests at once" in checked.stderr
    assert "its server has 17" in checked.stderr

    with a_site(cluster, 2, sleep=1) as site:
        answers: list[tuple[int, Any]] = []
        visitor = threading.Thread(target=lambda: answers.append(site.get("/quote")))
        visitor.start()
        eventually(lambda: cluster.count() >= 15)
        refused = site.get("/other")[0]
        visitor.join(SOON)
        begin = time.monotonic()
        status, found = site.get("/other")
        assert (status, found) == (200, {"found": 1})
        assert time.monotonic() - begin < 1
        print("meanwhile", refused, "afterwards", status)
    ((status, answer),) = answers
    assert status == 500
    assert "too many clients" in answer["error"] or "connection slots" in answer["error"]
    (note,) = answer["notes"]
    assert 'OPTIONS={"pool": {"max_size": 8}}' in note
    assert "bulkhead=8" in note


@pytest.mark.parametrize(
    ("clients", "options"), [(4, {"pool": 8}), (1, {"bulkhead": 10})], ids=["pool", "bulkhead"]
)
def test_a_restart_of_the_database_fails_only_the_requests_that_it_meets(
    cluster: Cluster, clients: int, options: dict[str, int]
) -> None:
    stop = threading.Event()
    visits: list[tuple[float, float, bool]] = []
    spans: list[tuple[float, float]] = []  # when the database was away

    def visit(number: int) -> None:
        while not stop.is_set():
            begin = time.monotonic()
            try:
                is_good = site.get("/quote") == (200, {"found": 25})
            except (OSError, HTTPException):
                is_good = False
            visits.append((begin, time.monotonic(), is_good))

    with a_site(cluster, clients, **options) as site:
        visitors = threading.Thread(target=together, args=(clients, visit))
        visitors.start()
        try:
            for _ in range(3):
                before = len(visits)
                while len(visits) < before + 20:
                    time.sleep(0.01)
                down = time.monotonic()
                cluster.control("restart", "-m", "fast")
                up = time.monotonic()
                spans.append((down, up))
            before = len(visits)
            while len(visits) < before + 20:
                time.sleep(0.01)
        finally:
            stop.set()
            visitors.join()
    outside = [
        visit
        for visit in visits
        if not any(visit[0] < up and visit[1] > down for down, up in spans)
    ]
    print(len(visits), "requests,", sum(not good for *_, good in visits), "failed")
    assert len(outside) > 60
    assert all(good for *_, good in outside)
