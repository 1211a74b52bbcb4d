"""Other hosts: Celery, multiprocessing, asyncio, Jupyter's kernel, runserver, pytest-xdist."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from cano_sync import (
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Workflow,
    WorkflowTimeoutError,
)
from tests.docs import pages
from tests.servers.harness import LONGEST, MARGIN, Server, python

Start = Callable[..., Server]


def split_of(task: Callable[..., object]) -> Workflow[str]:
    """Eight branches on the pool, within a limit: the run itself moves to a thread, too."""
    join = JoinConfig(JoinStrategy.ALL, "DONE", collect="values")
    workflow = Workflow[str]().register_split("WORK", [task] * 8, join).add_exit_state("DONE")
    return workflow.with_timeout(10)


def branch(store: Any) -> int:
    """What it has from its own run, and from its own process."""
    return int(store.get("number")) + os.getpid()


WORK = split_of(branch)
LIMITED = split_of(lambda store: time.sleep(1)).with_timeout(0.1)


def work(number: int) -> bool:
    """Run it here; did the branches see this run and this process?"""
    store = MemoryStore({"number": number})
    WORK.orchestrate("WORK", store=store)
    return bool(store.get("values") == [number + os.getpid()] * 8)


# multiprocessing.


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_children_of_a_parent_that_has_used_the_pools_run(method: str) -> None:
    assert work(1)
    with pytest.raises(WorkflowTimeoutError):
        LIMITED.orchestrate("WORK")  # its threads are still busy
    with multiprocessing.get_context(method).Pool(2) as children:
        assert children.map_async(work, range(20)).get(LONGEST) == [True] * 20


# asyncio.


def test_a_running_loop_goes_on_while_runs_are_awaited() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        slow = split_of(lambda store: time.sleep(0.2))
        assert await asyncio.to_thread(slow.orchestrate, "WORK") == "DONE"
        assert await asyncio.wrap_future(slow.submit("WORK")) == "DONE"
        assert ticks > 10
        several = [asyncio.wrap_future(WORK.submit("WORK", store=store_of(n))) for n in range(20)]
        assert await asyncio.gather(*several) == ["DONE"] * 20
        before = ticks
        assert slow.orchestrate("WORK") == "DONE"  # blocks its thread, which is the loop's
        assert ticks == before
        ticking.cancel()

    asyncio.run(asyncio.wait_for(main(), LONGEST))


def store_of(number: int) -> MemoryStore:
    """A store with a number."""
    return MemoryStore({"number": number})


# Celery.

CELERY = """
from celery import Celery
from tests.servers.test_processes import work

app = Celery("work", broker="filesystem://", backend="file://results")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue", "processed_folder": "done",
    "store_processed": False,
}
app.conf.worker_hijack_root_logger = False
assert work(0)  # the parent has used the pools

@app.task
def run(number):
    return work(number)
"""
ASKING = """
from work import run
answers = [run.delay(number) for number in range(12)]
assert [answer.get(timeout=20) for answer in answers] == [True] * 12
print("ready")
"""


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_tasks_of_celery_run_workflows(pool: str, tmp_path: Path) -> None:
    if find_spec("celery") is None:
        pytest.skip("celery is not installed")
    for folder in ("queue", "results", "done"):
        (tmp_path / folder).mkdir()
    (tmp_path / "work.py").write_text(CELERY)
    environment = {**os.environ, "PYTHONPATH": f"{pages.ROOT}{os.pathsep}{tmp_path}"}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            python(
                *("-m", "celery", "-A", "work", "worker", "--pool", pool, "--concurrency", "2"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ),
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        asked = subprocess.run(
            python("-W", "ignore", "-c", ASKING),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert asked.stdout == "ready\n", asked.stderr + (tmp_path / "log").read_text()
        worker.send_signal(signal.SIGTERM)
        worker.wait(LONGEST)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


# Django's runserver.

SETTINGS = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import JsonResponse
from django.urls import path
from tests.servers.test_processes import LIMITED, WorkflowTimeoutError, work
import version

def ready(request):
    try:
        LIMITED.orchestrate("WORK")
    except WorkflowTimeoutError:
        pass
    return JsonResponse({"works": work(3), "version": version.VERSION})

urlpatterns = [path("ready", ready)]
settings.configure(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests")
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_thread_holds_up_runserver_and_its_reloader(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    if find_spec("django") is None:
        pytest.skip("django is not installed")
    (tmp_path / "manage.py").write_text(SETTINGS)
    version = tmp_path / "version.py"
    version.write_text("VERSION = 1\n")
    server = start(python("manage.py", "runserver", "127.0.0.1:{port}"), ready="/ready")
    assert server.get("/ready").body == {"works": True, "version": 1}
    version.write_text("VERSION = 2  # another\n")
    os.utime(version, (time.time() + 5, time.time() + 5))  # as a file system with coarse times
    end = time.monotonic() + LONGEST
    while server.get("/ready").body.get("version") != 2:
        assert time.monotonic() < end, server.said()
        time.sleep(0.05)
    os.killpg(server.process.pid, number)  # as a terminal does: the reloader and its child
    began = time.monotonic()
    server.process.wait(LONGEST)
    while not server.is_gone():
        assert time.monotonic() - began < 3 + MARGIN, server.said()
        time.sleep(0.01)


# Jupyter.


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_kernel_of_jupyter_runs_workflows() -> None:
    """Its cells are run beside a loop that is running, and are interrupted as ever."""
    manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is missing")
    if find_spec("ipykernel") is None:
        pytest.skip("ipykernel is not installed")
    kernel, client = manager.start_new_kernel(
        startup_timeout=30, cwd=str(pages.ROOT), env={**os.environ, "PYTHONPATH": str(pages.ROOT)}
    )

    def say(code: str) -> tuple[str, str]:
        said: list[str] = []

        def hear(message: Any) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        reply = client.execute_interactive(dedent(code), timeout=30, output_hook=hear)
        return "".join(said), reply["content"].get("ename", "")

    try:
        said, error = say(
            """
            import asyncio
            from tests.servers.test_processes import LIMITED, WORK, store_of, work
            print(work(3))
            print(await asyncio.wrap_future(WORK.submit("WORK", store=store_of(4))))
            """
        )
        assert (said, error) == ("True\nDONE\n", "")
        assert say("LIMITED.orchestrate('WORK')")[1] == "WorkflowTimeoutError"
        timer = threading.Timer(1.0, kernel.interrupt_kernel)
        timer.start()
        said, error = say(
            """
            from cano_sync import Workflow
            waiting = Workflow().register("WORK", lambda store, cancel: cancel.sleep(60))
            waiting.add_exit_state("DONE").orchestrate("WORK")
            """
        )
        assert error == "KeyboardInterrupt"
        assert say("print(work(5))") == ("True\n", "")
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
        # The client's own, which it leaves open: a later test would be blamed for that.
        pytest.importorskip("jupyter_core.utils").ensure_event_loop().close()
        gc.collect()


# pytest-xdist.


def test_users_tests_run_on_several_processes_of_xdist(tmp_path: Path) -> None:
    (tmp_path / "test_users.py").write_text(
        dedent(
            """
            import pytest
            from cano_sync.testing import inline
            from tests.servers.test_processes import work

            @pytest.mark.parametrize("number", range(20))
            def test_work(number):
                assert work(number)

            def test_inline():
                with inline():
                    assert work(1)
            """
        )
    )
    done = subprocess.run(
        python("-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(pages.ROOT)},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert "21 passed" in done.stdout, done.stdout + done.stderr
