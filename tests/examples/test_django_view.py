"""The Django project's own tests, as its users run them; test_programs.py runs its program."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.django_wing.servers import needs_postgres
from tests.kit import SOON

PROJECT = Path(__file__).parents[2] / "examples" / "django_view"


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What a command of the project says."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=PROJECT,
        env=environment,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.servers
def test_its_own_tests_pass_on_sqlite(environment: dict[str, str]) -> None:
    """And nothing is left for the system checks to say."""
    said = manage(environment, "test", "--noinput")
    assert "System check identified no issues (1 silenced)" in said
    assert "\nOK\n" in said


@needs_postgres
@pytest.mark.servers
def test_its_own_tests_pass_on_postgresql_and_its_test_database_is_dropped(
    environment: dict[str, str],
) -> None:
    where = {"PGDATABASE": f"cano_example_{os.getpid()}", "PGHOST": "127.0.0.1", "PGUSER": "root"}
    said = manage({**environment, **where}, "test", "--noinput")
    assert "\nOK\n" in said
    assert "being accessed by other users" not in said


@pytest.mark.servers
def test_runserver_serves_it_and_ends_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    """A carrier that is late holds up neither the answer nor, after Ctrl-C, the server."""
    settings = "from shop.settings import *\nDATABASES['default']['NAME'] = 'db.sqlite3'\n"
    (tmp_path / "settings_here.py").write_text(settings, encoding="utf-8")
    paths = os.pathsep.join((str(tmp_path), str(PROJECT), environment["PYTHONPATH"]))
    variables = {"DJANGO_SETTINGS_MODULE": "settings_here", "PYTHONPATH": paths}
    command = [sys.executable, str(PROJECT / "manage.py")]
    where = {"cwd": tmp_path, "env": {**environment, **variables}}
    subprocess.run([*command, "migrate", "-v", "0"], check=True, timeout=50, **where)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*command, "runserver", "--noreload", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **where,
    )
    try:
        assert post(port, amount=12, city="Bern") == 200
        assert post(port, amount=90, city="Bern") == 504
        begin = time.monotonic()
        server.send_signal(signal.SIGINT)
        server.wait(10)
        assert time.monotonic() - begin < 2
    finally:
        server.kill()
        server.wait()


def post(port: int, **form: object) -> int:
    """The status of an answer, once the server listens."""
    end = time.monotonic() + SOON
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=SOON)
        with closing(connection), suppress(ConnectionRefusedError):
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/order", urlencode(form), headers)
            return connection.getresponse().status
        assert time.monotonic() < end
        time.sleep(0.05)
