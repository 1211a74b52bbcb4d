"""Small recorded workflows that the crash harness kills and resumes, with effects in a file."""

from __future__ import annotations

__all__ = ("SCENARIOS", "Scenario", "effect")

import os
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from cano_sync import JoinConfig, JoinStrategy, MemoryStore, TaskContext, Workflow
from cano_sync.checkpoints import Checkpoints


class At(Enum):
    """The states of all scenarios."""

    FIRST = auto()
    SECOND = auto()
    THIRD = auto()
    MENDED = auto()
    DONE = auto()


Scenario = Callable[[Checkpoints, str], Workflow[Any]]
"""Makes a workflow that begins in FIRST, records there, and writes its effects into a file."""


def effect(path: str, context: TaskContext, what: str = "") -> None:
    """Something that happens outside, and is seen whatever becomes of the process."""
    line = f"{context.visit} {context.state.name}{what} {context.key}\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def chain(checkpoints: Checkpoints, path: str) -> Workflow[Any]:
    """Three states; the second changes in place what the first has put."""

    def first(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("order", {"lines": (1, 2), "paid": False})
        store.put("gone", "soon")
        return At.SECOND

    def second(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.get("order")["paid"] = True
        store.remove("gone")
        return At.THIRD

    def third(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("sum", sum(store.get("order")["lines"]))
        return At.DONE

    return (
        Workflow()
        .register(At.FIRST, first)
        .register(At.SECOND, second)
        .register(At.THIRD, third)
        .add_exit_state(At.DONE)
        .with_checkpoints(checkpoints, name="chain", check=True)
    )


def loop(checkpoints: Checkpoints, path: str) -> Workflow[Any]:
    """One state, four times."""

    def first(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.append("seen", context.visit)
        return At.FIRST if store.update("n", lambda n: n + 1, default=0) < 4 else At.DONE

    return (
        Workflow()
        .register(At.FIRST, first)
        .add_exit_state(At.DONE)
        .with_checkpoints(checkpoints, name="loop", check=True)
    )


def split(checkpoints: Checkpoints, path: str) -> Workflow[Any]:
    """A split whose branches append to one list, between two states."""

    def first(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("items", [1, 2, 3])
        return At.SECOND

    def square(item: int, store: MemoryStore, context: TaskContext) -> int:
        effect(path, context, f"[{item}]")
        store.append("squares", item * item)
        return item * item

    def third(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("sum", sum(store.get("squares")))
        return At.DONE

    return (
        Workflow()
        .register(At.FIRST, first)
        .register_split(
            At.SECOND,
            lambda store: [partial(square, item) for item in store.get("items")],
            JoinConfig(JoinStrategy.ALL, At.THIRD, collect="values"),
        )
        .register(At.THIRD, third)
        .add_exit_state(At.DONE)
        .with_checkpoints(checkpoints, name="split", check=True)
    )


def error_state(checkpoints: Checkpoints, path: str) -> Workflow[Any]:
    """A state that fails, and the one that its failure leads to."""

    def first(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("tried", True)
        raise LookupError("no such order")

    def mended(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context)
        store.put("why", str(context.error))
        return At.DONE

    return (
        Workflow()
        .register(At.FIRST, first, error_state=At.MENDED)
        .register(At.MENDED, mended)
        .add_exit_state(At.DONE)
        .with_checkpoints(checkpoints, name="error_state", check=True)
    )


def nested(checkpoints: Checkpoints, path: str) -> Workflow[Any]:
    """A recorded run within a task of another: redone, the task finds its child and goes on."""
    inner = loop(checkpoints, path)

    def first(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context, " outer")
        values = MemoryStore()
        inner.orchestrate(At.FIRST, store=values, run_id=context.key)
        store.put("n", values.get("n"))
        return At.SECOND

    def second(store: MemoryStore, context: TaskContext) -> At:
        effect(path, context, " outer")
        store.put("twice", 2 * store.get("n"))
        return At.DONE

    return (
        Workflow()
        .register(At.FIRST, first)
        .register(At.SECOND, second)
        .add_exit_state(At.DONE)
        .with_checkpoints(checkpoints, name="nested", check=True)
    )


SCENARIOS: dict[str, Scenario] = {
    each.__name__: each for each in (chain, loop, split, error_state, nested)
}
