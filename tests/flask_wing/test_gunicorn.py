"""Under a real server: gunicorn with threads, Flask-SQLAlchemy on PostgreSQL, many requests."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Eventually
from tests.postgres import connections_to, execute, fresh_database, needs_postgres, sqlalchemy_url

pytest.importorskip("gunicorn", reason="gunicorn is not installed: the extra `servers` has it")
pytestmark = [pytest.mark.servers, needs_postgres, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
REQUESTS, VISITORS, BRANCHES, POOL = 1000, 16, 8, 8

APP = f"""
import os
from functools import partial

from flask import Flask, g, request, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Workflow, abandoned_tasks
from cano_sync.flask import Cano

app = Flask("shop")
app.secret_key = "of a test"
app.config.update(
    SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
    SQLALCHEMY_ENGINE_OPTIONS={{"pool_size": {POOL}, "max_overflow": 4}},
    CANO_REQUEST_TIMEOUT=60,
)
db = SQLAlchemy(app)
cano = Cano(app)


def branch(index, store):
    n = request.args["n"]
    db.session.execute(text("INSERT INTO item VALUES (:n)"), {{"n": int(n)}})
    name = db.session.scalar(text("SELECT :n || '/' || :i"), {{"n": n, "i": str(index)}})
    if index % 2:
        db.session.commit()
    return name, g.n, session["n"], id(db.session())


def view_state(store):
    db.session.execute(text("INSERT INTO item VALUES (:n)"), {{"n": int(g.n)}})
    return "SPLIT"


workflow = (
    Workflow()
    .register("ROW", view_state)
    .register_split(
        "SPLIT",
        [partial(branch, index) for index in range({BRANCHES})],
        JoinConfig(JoinStrategy.ALL, "DONE", collect="seen", bulkhead=4),
    )
    .add_exit_state("DONE")
)


@app.get("/split")
def split():
    g.n = session["n"] = request.args["n"]
    store = MemoryStore()
    workflow.orchestrate("ROW", store=store, cancel=cano.request_token(), stay=True)
    return {{"seen": store.get("seen")}}


@app.get("/late")
def late():
    wait = Workflow().register("WAIT", lambda store, cancel: cancel.sleep(60))
    wait.add_exit_state("DONE").with_timeout(0.05).orchestrate("WAIT")


@app.get("/health")
def health():
    return {{"abandoned": abandoned_tasks(), "out": db.engine.pool.checkedout()}}
"""


class Server:
    """gunicorn with one process, on a port that the system chose."""

    def __init__(self, folder: Path, database: str) -> None:
        (folder / "shop.py").write_text(APP)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"]
            + ["--bind", "127.0.0.1:0", "--graceful-timeout", "5", "shop:app"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": database},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        self.log: list[str] = []
        for line in self._process.stderr:
            self.log.append(line)
            if found := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        self._reader = threading.Thread(target=self.log.extend, args=(self._process.stderr,))
        self._reader.start()

    def get(self, path: str) -> tuple[int, Any]:
        """A request by a connection of its own: the code and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if response.status != 500 else text
        finally:
            connection.close()

    def stop(self) -> None:
        """By SIGTERM, as a deployment does."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(30) == 0
        self._reader.join(10)
        assert self._process.stderr is not None
        self._process.stderr.close()


@pytest.fixture
def database() -> Iterator[str]:
    with fresh_database() as name:
        yield name


@pytest.fixture
def server(tmp_path: Path, database: str) -> Iterator[Server]:
    execute(database, "CREATE TABLE item (n INTEGER)")
    started = Server(tmp_path, sqlalchemy_url(database))
    yield started
    started.stop()


def test_requests_do_not_mix_and_no_connection_is_left(
    server: Server, database: str, eventually: Eventually
) -> None:
    def visit(n: int) -> tuple[int, Any]:
        return server.get(f"/split?n={n}")

    with ThreadPoolExecutor(VISITORS) as visitors:
        answers = list(visitors.map(visit, range(REQUESTS)))
    for n, (code, answer) in enumerate(answers):
        assert code == 200, (answer, server.log)
        seen = answer["seen"]
        assert [item[:3] for item in seen] == [
            [f"{n}/{index}", str(n), str(n)] for index in range(BRANCHES)
        ]
    # Half of the branches have committed; the others, and the views, were rolled back.
    assert execute(database, "SELECT count(*) FROM item") == REQUESTS * BRANCHES // 2
    assert server.get("/health") == (200, {"abandoned": 0, "out": 0})
    # A server's process that was disconnected a moment ago may still be ending.
    eventually(lambda: connections_to(database) <= POOL)
    assert server.get("/late") == (504, {"error": "This took longer than it may."})
