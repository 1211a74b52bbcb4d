"""What surrounds the runs of a scheduler's flows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from cano_sync import Around, ConfigurationError, TaskContext
from cano_sync.scheduler import Manual, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.kit import Step, done, single


def noting(events: list[str], name: str) -> Callable[[TaskContext], AbstractContextManager[None]]:
    @contextmanager
    def around(context: TaskContext) -> Iterator[None]:
        events.append(f"{name} enters on a {context.thread} thread")
        yield
        events.append(f"{name} leaves")

    return around


def test_it_surrounds_the_tasks_of_all_flows_outside_of_what_their_workflows_have() -> None:
    events: list[str] = []
    scheduler = Scheduler(clock=HandClock(), around=[noting(events, "the scheduler's")])
    workflow = single(done).with_around(noting(events, "the workflow's"))
    scheduler.add("flow", workflow, Step.START, Manual())

    with start_by_hand(scheduler):
        scheduler.trigger("flow").result(20)

    assert [event.partition(" on ")[0] for event in events] == [
        "the scheduler's enters",
        "the workflow's enters",
        "the workflow's leaves",
        "the scheduler's leaves",
    ]


def test_the_workflow_itself_stays_as_it_is() -> None:
    events: list[str] = []
    scheduler = Scheduler(clock=HandClock(), around=[noting(events, "the scheduler's")])
    workflow = single(done)
    scheduler.add("flow", workflow, Step.START, Manual())

    workflow.orchestrate(Step.START)

    assert events == []


@pytest.mark.parametrize("given", [7, "around", [7], [Around()], noting([], "one")])
def test_what_is_no_list_of_arounds_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Scheduler\(around=\.\.\.\)"):
        Scheduler(around=given)
