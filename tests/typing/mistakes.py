"""Mistakes that type checkers must catch: each line that ends in a mark, and no other.

A mark names the codes of mypy. Pyright must complain about the same lines, in its own words.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Literal

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Store,
    Tally,
    TaskConfig,
    Verdict,
    Workflow,
    task,
)
from cano_sync.observe import Observer
from cano_sync.scheduler import Every, Scheduler


class Quote(Enum):
    LOAD = auto()
    ASK = auto()
    DONE = auto()


class Other(Enum):
    HERE = auto()
    THERE = auto()


def good(store: Store) -> Literal[Quote.DONE]:
    return Quote.DONE


def other(store: Store) -> Literal[Other.THERE]:
    return Other.THERE


def forgetful(store: Store) -> None:
    store.put("done", True)


def text(store: Store) -> str:
    return "DONE"


workflow = Workflow().register(Quote.LOAD, good)
join = JoinConfig(JoinStrategy.ALL, Quote.DONE)
elsewhere = JoinConfig(JoinStrategy.ALL, Other.THERE)

# States of another machine.
workflow.register(Other.HERE, good)  # error: arg-type
workflow.register(Quote.ASK, good, error_state=Other.HERE)  # error: arg-type
workflow.register_split(Other.HERE, [good], join)  # error: arg-type
workflow.register_split(Quote.ASK, [good], elsewhere)  # error: arg-type
workflow.add_exit_state(Other.THERE)  # error: arg-type
workflow.add_exit_state("DONE")  # error: arg-type
workflow.add_exit_states([Other.THERE])  # error: list-item
workflow.orchestrate(Other.HERE)  # error: arg-type
workflow.submit("LOAD")  # error: arg-type
workflow.validate_initial_state(Other.HERE)  # error: arg-type
join.with_join_state(Other.THERE)  # error: arg-type
join.with_error_state(Other.THERE)  # error: arg-type
final: Other = workflow.orchestrate(Quote.LOAD)  # error: assignment
wrong: Workflow[Other] = workflow  # error: assignment

# Tasks that lead elsewhere, or are none.
workflow.register(Quote.ASK, other)  # error: arg-type
workflow.register(Quote.ASK, forgetful)  # error: arg-type
workflow.register(Quote.ASK, text)  # error: arg-type
workflow.register(Quote.ASK, lambda store: None)  # error: arg-type, return-value
workflow.register(Quote.ASK, "good")  # error: arg-type
workflow.register_split(Quote.ASK, ["good"], join)  # error: list-item
workflow.register_split(Quote.ASK, good, join)  # error: arg-type
workflow.register(Quote.ASK, good, 3)  # error: arg-type

# Arguments.
workflow.with_timeout("1 s")  # error: arg-type
workflow.with_executor(4)  # error: arg-type
workflow.orchestrate(Quote.LOAD, MemoryStore())  # error: call-arg
workflow.orchestrate(Quote.LOAD, store={"name": "Ada"})  # error: arg-type
workflow.orchestrate(Quote.LOAD, cancel=True)  # error: arg-type
JoinConfig("ALL", Quote.DONE)  # error: arg-type
JoinConfig(JoinStrategy.quorum, Quote.DONE)  # error: arg-type
JoinConfig(JoinStrategy.ALL, Quote.DONE, 0.2)  # error: call-arg
JoinConfig(JoinStrategy.ALL)  # error: call-arg
JoinStrategy.quorum("two")  # error: arg-type
JoinStrategy.quorum(0.5)  # error: arg-type
TaskConfig(retry=3)  # error: arg-type
TaskConfig().with_fixed_retry("three", 1)  # error: arg-type
TaskConfig().with_fixed_retry(3)  # error: call-arg
CancellationToken(timeout="5")  # error: arg-type
CancellationToken().on_cancel("close")  # error: arg-type
MemoryStore(["name"])  # error: arg-type
task(good)  # error: arg-type

# What is read-only.
CancellationToken().cancelled = True  # error: misc
JoinStrategy.ALL.decide(Tally(1, 0, 0)).value = "wait"  # error: misc
Tally(1, 0, 0).total = 2  # error: misc

# Values of the wrong type.
number: int = MemoryStore().get("name", str)  # error: assignment
maybe: str = MemoryStore().get("name", str, default=None)  # error: assignment
exact: int = CancellationToken().remaining()  # error: assignment


class Silent(JoinStrategy):
    """Forgets to decide."""


Silent()  # error: abstract


class Yes(JoinStrategy):
    """Answers something else than a verdict."""

    def decide(self, tally: Tally) -> bool:  # error: override
        return tally.successes > 0


verdict: Verdict = Tally(3, 1, 0).pending  # error: assignment


class Narrow(Observer):
    """Does not take all that the hook is given."""

    def state_entered(self, *, state: Quote) -> None: ...  # error: override


Workflow().with_observer(Narrow)  # error: arg-type

# A scheduler.
Scheduler().every("flow", Workflow[Quote](), "LOAD", 10)  # error: misc
Scheduler().every("flow", Workflow[Quote](), Quote.LOAD, "10 s")  # error: arg-type
Scheduler().manual("flow", Workflow[Quote](), Quote.LOAD, catchup=True)  # error: call-arg
Scheduler().manual("flow", Workflow[Quote](), Quote.LOAD, store={})  # error: arg-type
Scheduler().manual("flow", Workflow[Quote](), Quote.LOAD, fail_on="NO_OFFER")  # error: misc
Scheduler().add("flow", Workflow[Quote](), "LOAD", Every(10))  # error: misc
Scheduler().add("flow", Workflow[Quote](), Quote.LOAD, 10)  # error: arg-type
Scheduler(observers=Narrow())  # error: arg-type
Scheduler(observers=[Narrow()])  # error: list-item
