"""The WSGI application that the servers of these tests serve: splits, limits, and what drains."""

from __future__ import annotations

__all__ = ("application",)

import json
import os
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs

from cano_sync import (
    CanoError,
    DrainingError,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
    draining,
)

WIDTH = 8
who: ContextVar[str] = ContextVar("who", default="nobody")


def branch(store: Any) -> str:
    """Sees the request that it belongs to by the store and by the context; both must agree."""
    time.sleep(0.002)
    return f"{store.get('who')}/{who.get()}"


def listen(store: Any, cancel: Any) -> str:
    """Takes its time, and listens."""
    cancel.sleep(store.get("seconds"))
    return "DONE"


def deaf(store: Any) -> str:
    """Takes its time, and does not listen."""
    time.sleep(store.get("seconds"))
    return "DONE"


def of(task: Callable[..., str]) -> Workflow[str]:
    """A workflow of one task."""
    return Workflow[str]().register("WORK", task).add_exit_state("DONE")


def split_of(task: Callable[..., object]) -> Workflow[str]:
    """A workflow of one split."""
    join = JoinConfig(JoinStrategy.ALL, "DONE", collect="values")
    return Workflow[str]().register_split("WORK", [task] * WIDTH, join).add_exit_state("DONE")


WORKFLOWS = {
    "/ready": of(lambda store: "DONE"),
    "/split": split_of(branch),
    "/listen": of(listen),
    "/listen-split": split_of(listen),
    "/deaf": of(deaf),
    "/deaf-split": split_of(deaf),
    "/limited": of(deaf).with_timeout(0.2),
    "/limited-split": split_of(deaf).with_timeout(0.2),
    "/used": split_of(branch).with_timeout(10),
}


def note(text: str) -> None:
    """Add a line to the file of what has begun, in one step."""
    path = os.environ.get("BEGUN")
    if path:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{text}\n".encode())
        finally:
            os.close(file)


WORKFLOWS["/used"].orchestrate("WORK", store=MemoryStore({"who": "before the fork"}))


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Run the workflow of the path in the request's own context; answer with what came of it."""
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    workflow = WORKFLOWS[environ["PATH_INFO"]]
    name = query.get("who", "nobody")
    store = MemoryStore({"who": name, "seconds": float(query.get("seconds", 0))})
    token = who.set(name)
    note(name)
    began = time.monotonic()
    status, ended = "200 OK", ""
    try:
        if "background" in query:
            workflow.submit("WORK", store=store).add_done_callback(lambda _: note(f"{name} ended"))
        else:
            ended = workflow.orchestrate("WORK", store=store)
    except WorkflowTimeoutError as error:
        status, ended = "504 Gateway Timeout", str(error)
    except (DrainingError, WorkflowCancelledError) as error:
        status, ended = "503 Service Unavailable", str(error)
    except CanoError as error:
        status, ended = "500 Internal Server Error", str(error)
    finally:
        who.reset(token)
    answer = {
        "who": name,
        "ended": ended,
        "values": store.get("values", list, default=[]),
        "seconds": time.monotonic() - began,
        "abandoned": abandoned_tasks(),
        "draining": draining(),
        "process": os.getpid(),
    }
    body = json.dumps(answer).encode()
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
