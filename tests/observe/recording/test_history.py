"""The fold of events: every hook, what comes late, and what has been dropped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cano_sync import JoinConfig, JoinStrategy, Outcome, SplitResult, Verdict
from cano_sync._model.hooks import HOOKS
from cano_sync.observe import Record, Span, Status
from cano_sync.observe.recording.history import _FOLDS, History

Event = tuple[float, str, dict[str, Any]]
"""When (seconds from the start of the run), the event, and its facts."""

BOOM = ValueError("boom")
DECIDED: Any = {"timed_out": True, "duration": 3}
JOIN: JoinConfig[str] = JoinConfig(JoinStrategy.ANY, "NEXT")


def event(at: float, name: str, state: str = "A", **facts: Any) -> Event:
    """An event of the run "run", by default about the state A and its only task."""
    if name.startswith(("task_", "attempt_")):
        facts = {"task": "work", "index": None, **facts}
    return (at, name, {"state": state, **facts})


def entered(at: float, state: str = "A", **facts: Any) -> Event:
    return event(at, "state_entered", state, is_exit=False, **facts)


def left(at: float, duration: float, state: str = "A", **facts: Any) -> Event:
    facts = {"next_state": "B", "error": None, **facts}
    return event(at, "state_left", state, duration=duration, **facts)


def made(*events: Event, now: float = 10.0, limit: int = 1000) -> Record:
    history = History("run", "A", 1000.0, limit)
    for at, name, facts in events:
        history.fold(at, name, facts)
    return history.record(now)


def only_span(record: Record) -> Span:
    (visit,) = record.visits
    (span,) = visit.spans
    return span


BEGIN = (entered(0),)


# The run.


def test_a_run_that_goes_on_is_running_and_has_taken_as_long_as_until_now() -> None:
    record = made(*BEGIN)
    assert (record.run_id, record.state, record.status) == ("run", "A", Status.RUNNING)
    assert (record.started_at, record.duration) == (1000.0, 10.0)
    (visit,) = record.visits
    assert (visit.status, visit.duration) == (Status.RUNNING, 10.0)


def test_a_run_that_ended_keeps_its_duration_however_late_it_is_asked_for() -> None:
    end = event(2, "run_finished", "B", duration=2.0, error=None)
    record = made(*BEGIN, left(2, 2.0), event(2, "state_entered", "B", is_exit=True), end)
    assert (record.state, record.status, record.duration) == ("B", Status.SUCCEEDED, 2.0)
    first, last = record.visits
    assert (first.status, first.next_state, first.duration) == (Status.SUCCEEDED, "B", 2.0)
    assert (last.status, last.is_exit, last.duration) == (Status.SUCCEEDED, True, 0.0)


def test_a_run_that_fails_has_its_error_and_so_has_its_last_visit() -> None:
    gone = left(1, 1.0, next_state=None, error=BOOM)
    record = made(*BEGIN, gone, event(1, "run_finished", duration=1.0, error=BOOM))
    assert (record.status, record.error) == (Status.FAILED, BOOM)
    assert [(visit.status, visit.error) for visit in record.visits] == [(Status.FAILED, BOOM)]


def test_a_cancelled_run_says_why() -> None:
    record = made(
        *BEGIN,
        left(1, 1.0, next_state=None, error=BOOM),
        event(1, "run_cancelled", reason="enough"),
        event(1, "run_finished", duration=1.0, error=BOOM),
    )
    assert (record.status, record.reason) == (Status.CANCELLED, "enough")
    assert record.visits[0].status is Status.CANCELLED


# Tasks.


@pytest.mark.parametrize(
    ("hook", "facts", "status"),
    [
        ("task_succeeded", {}, Status.SUCCEEDED),
        ("task_failed", {"error": BOOM}, Status.FAILED),
        ("task_cancelled", {"reason": "enough"}, Status.CANCELLED),
    ],
)
def test_a_task_has_the_end_that_its_event_says(hook: str, facts: Any, status: Status) -> None:
    span = only_span(made(*BEGIN, event(1, "task_started"), event(3, hook, duration=2.0, **facts)))
    assert (span.name, span.index, span.began, span.duration) == ("work", None, 1, 2.0)
    assert (span.status, span.error, span.reason) == (
        status,
        facts.get("error"),
        facts.get("reason"),
    )


def test_a_task_without_an_end_is_running() -> None:
    span = only_span(made(*BEGIN, event(1, "task_started"), now=5))
    assert (span.status, span.duration) == (Status.RUNNING, 4.0)


ABANDONED = (
    *BEGIN,
    event(0, "task_started"),
    event(1, "task_cancelled", duration=1.0, reason=None),
    event(1, "task_abandoned", attempt=1),
)


def test_a_task_that_was_abandoned_is_so() -> None:
    span = only_span(made(*ABANDONED))
    assert (span.status, span.duration, span.late) == (Status.ABANDONED, 1.0, None)


def test_once_it_has_returned_it_is_cancelled_and_late() -> None:
    span = only_span(made(*ABANDONED, event(4, "task_returned", attempt=1, late=3.0)))
    assert (span.status, span.duration, span.late) == (Status.CANCELLED, 1.0, 3.0)


def test_a_task_that_returns_before_the_event_of_its_abandonment_is_cancelled() -> None:
    events = [*ABANDONED[:-1], event(2, "task_returned", attempt=1, late=1.0), ABANDONED[-1]]
    span = only_span(made(*events))
    assert (span.status, span.late) == (Status.CANCELLED, 1.0)


def test_a_return_belongs_to_the_visit_that_was_abandoned_so_long_ago() -> None:
    again = (
        entered(5),
        event(5, "task_started"),
        event(7, "task_cancelled", duration=2.0, reason=None),
        event(7, "task_abandoned", attempt=1),
    )
    record = made(*ABANDONED, left(1, 1.0), *again, event(8, "task_returned", attempt=1, late=7.0))
    statuses = [[span.status for span in visit.spans] for visit in record.visits]
    assert statuses == [[Status.CANCELLED], [Status.ABANDONED]]


def test_an_end_that_comes_late_belongs_to_the_visit_where_the_task_began() -> None:
    record = made(
        *BEGIN,
        event(0, "task_started"),
        left(1, 1.0),
        entered(2),
        event(2, "task_started"),
        event(2.1, "task_failed", duration=2.1, error=BOOM),
        event(4, "task_succeeded", duration=2.0),
    )
    statuses = [[span.status for span in visit.spans] for visit in record.visits]
    assert statuses == [[Status.FAILED], [Status.SUCCEEDED]]


# Attempts.

TRIES = (
    *BEGIN,
    event(0, "task_started"),
    event(0, "attempt_started", attempt=1),
    event(1, "attempt_failed", attempt=1, duration=1.0, error=BOOM, delay=2.0),
    event(3, "attempt_started", attempt=2),
)


def test_attempts_are_kept_with_their_errors_and_the_pauses_after_them() -> None:
    span = only_span(made(*TRIES, event(4, "task_succeeded", duration=4.0)))
    first, second = span.attempts
    assert (first.number, first.began, first.duration) == (1, 0, 1.0)
    assert (first.status, first.error, first.delay) == (Status.FAILED, BOOM, 2.0)
    assert (second.number, second.began, second.duration) == (2, 3, 1.0)
    assert (second.status, second.error, second.delay) == (Status.SUCCEEDED, None, None)


def test_the_last_attempt_ends_as_its_task() -> None:
    running = only_span(made(*TRIES, now=3.5)).attempts[1]
    assert (running.status, running.duration) == (Status.RUNNING, 0.5)
    cancelled = event(4, "task_cancelled", duration=4.0, reason=None)
    assert only_span(made(*TRIES, cancelled)).attempts[1].status is Status.CANCELLED


def test_an_attempt_that_was_abandoned_is_so_though_its_task_goes_on() -> None:
    events = (*TRIES[:4], event(1, "task_abandoned", attempt=1), *TRIES[4:])
    done = event(4, "task_succeeded", duration=4.0)
    span = only_span(made(*events, done))
    assert (span.status, span.late) == (Status.SUCCEEDED, None)
    assert span.attempts[0].status is Status.ABANDONED
    back = only_span(made(*events, done, event(6, "task_returned", attempt=1, late=5.0)))
    assert (back.attempts[0].status, back.attempts[0].late) == (Status.FAILED, 5.0)


def test_the_one_attempt_of_a_task_without_retries_is_kept_if_it_was_abandoned() -> None:
    events = (
        *BEGIN,
        event(0, "task_started"),
        event(1, "task_abandoned", attempt=1),
        event(1, "task_failed", duration=1.0, error=BOOM),
    )
    (attempt,) = only_span(made(*events)).attempts
    assert (attempt.number, attempt.status, attempt.error) == (1, Status.ABANDONED, BOOM)
    assert (attempt.began, attempt.duration) == (0.0, 1.0)
    back = only_span(made(*events, event(6, "task_returned", attempt=1, late=5.0)))
    assert (back.attempts[0].status, back.attempts[0].late) == (Status.FAILED, 5.0)


# Splits.


def test_a_split_has_its_branches_its_join_and_those_that_never_began() -> None:
    result = SplitResult([], [], [])
    record = made(
        *BEGIN,
        event(0, "split_started", tasks=("one", "two", "three"), join=JOIN),
        event(1, "task_started", task="two", index=1),
        event(1, "task_started", task="one", index=0),
        event(2, "branch_landed", outcome=Outcome(1, "two", value=7)),
        event(2, "task_succeeded", task="two", index=1, duration=1.0),
        event(
            3, "join_decided", verdict=Verdict.PROCEED, result=result, timed_out=True, duration=3
        ),
        event(3, "task_cancelled", task="one", index=0, duration=2.0, reason=None),
    )
    (visit,) = record.visits
    assert visit.join is not None
    assert (visit.join.config, visit.join.verdict) == (JOIN, Verdict.PROCEED)
    assert (visit.join.timed_out, visit.join.duration) == (True, 3)
    assert [(span.name, span.status, span.began) for span in visit.branches] == [
        ("one", Status.CANCELLED, 1),
        ("two", Status.SUCCEEDED, 1),
        ("three", Status.NOT_STARTED, None),
    ]
    assert visit.branches[1].value == 7


def test_what_lists_the_branches_is_no_branch() -> None:
    lister = (event(0, "task_started"), event(1, "task_succeeded", duration=1.0))
    split = event(1, "split_started", tasks=("one",), join=JOIN)
    (visit,) = made(*BEGIN, *lister, split).visits
    assert [span.index for span in visit.spans] == [None, 0]
    assert [span.index for span in visit.branches] == [0]


# What comes in another order, and what has been dropped.


def test_an_end_without_a_beginning_is_dated_back() -> None:
    record = made(
        entered(0),
        event(5, "attempt_failed", attempt=2, duration=0.5, error=BOOM, delay=None),
        event(5, "task_failed", duration=3.0, error=BOOM),
        left(6, 6.0, error=BOOM),
    )
    span = only_span(record)
    assert (span.status, span.began, span.attempts[0].began) == (Status.FAILED, 2.0, 4.5)


def test_a_start_that_comes_after_its_end_changes_nothing() -> None:
    """Each on a thread of its own: the branch's, and that of the run, which has abandoned it."""
    end = event(1, "task_cancelled", index=0, duration=1.0, reason=None)
    span = only_span(made(entered(0), end, event(1, "task_started", index=0)))
    assert (span.status, span.duration) == (Status.CANCELLED, 1.0)


def loop(visits: int) -> list[Event]:
    """A run that has been in A so often, with a task of one attempt that was abandoned each time.

    Seven events a visit.
    """
    return [
        each
        for at in range(visits)
        for each in (
            entered(at),
            event(at, "task_started"),
            event(at, "attempt_started", attempt=1),
            event(at, "attempt_failed", attempt=1, duration=0.5, error=BOOM, delay=None),
            event(at, "task_abandoned", attempt=1),
            event(at + 0.5, "task_failed", duration=0.5, error=BOOM),
            left(at + 1, 1.0, next_state="A", error=BOOM),
        )
    ]


def test_the_first_visits_are_dropped_where_there_are_too_many_events() -> None:
    record = made(*loop(10), limit=30)
    assert [visit.began for visit in record.visits] == [6, 7, 8, 9]
    assert record.forgotten == 6 * 7


def test_what_comes_late_of_a_visit_that_has_been_dropped_is_dropped_too() -> None:
    elsewhere = (entered(20, "B"), entered(21, "C"))
    late = event(22, "task_returned", attempt=1, late=22.0)
    end = event(22, "task_succeeded", duration=22.0)
    record = made(*loop(1), *elsewhere, late, end, limit=2)
    assert [visit.state for visit in record.visits] == ["B", "C"]
    assert record.forgotten == 7 + 2


def test_the_last_visit_stays_however_many_events_it_has() -> None:
    names = tuple(map(str, range(100)))
    branches = [
        each
        for index in range(100)
        for each in (
            event(1, "task_started", task=names[index], index=index),
            event(2, "task_succeeded", task=names[index], index=index, duration=1.0),
        )
    ]
    split = event(0, "split_started", tasks=names, join=JOIN)
    record = made(*loop(2), entered(2), split, *branches, limit=50)
    assert [len(visit.branches) for visit in record.visits] == [100]
    assert record.forgotten == 2 * 7


@pytest.mark.parametrize("limit", range(1, 20))
def test_any_limit_leaves_a_record_of_where_the_run_is(limit: int) -> None:
    events = [
        *TRIES,
        event(4, "task_abandoned", attempt=2),
        event(4, "task_cancelled", duration=4.0, reason="enough"),
        left(4, 4.0),
        event(5, "task_returned", attempt=2, late=1.0),
    ]
    record = made(*loop(3), *events, limit=limit)
    assert (record.state, record.visits[-1].state) == ("A", "A")
    assert record.visits[-1].spans[0].status is Status.CANCELLED


FACTS: dict[str, dict[str, Any]] = {
    "state_entered": {"is_exit": False},
    "state_left": {"next_state": "B", "duration": 0.5, "error": None},
    "task_started": {},
    "task_succeeded": {"duration": 0.5},
    "task_failed": {"duration": 0.5, "error": BOOM},
    "task_cancelled": {"duration": 0.5, "reason": None},
    "task_abandoned": {"attempt": 1},
    "task_returned": {"attempt": 1, "late": 0.5},
    "attempt_started": {"attempt": 1},
    "attempt_failed": {"attempt": 1, "duration": 0.5, "error": BOOM, "delay": None},
    "split_started": {"tasks": ("zero", "one", "two"), "join": JOIN},
    "branch_landed": {},
    "join_decided": {"verdict": Verdict.PROCEED, "timed_out": False, "duration": 0.5},
}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(FACTS)), st.sampled_from("AB"), st.integers(0, 2)),
        max_size=80,
    ),
    st.integers(1, 40),
)
def test_in_whatever_order_events_come_each_is_kept_or_forgotten(
    events: list[tuple[str, str, int]], limit: int
) -> None:
    history = History("run", "A", 1000.0, limit)
    for at, (name, state, index) in enumerate(events):
        facts = {**FACTS[name], "state": state, "task": "work", "index": index}
        facts["outcome"] = Outcome(index, "work", value=at)
        history.fold(float(at), name, facts)
        record = history.record(float(at))
    if events:
        kept = sum(visit.events for visit in history._visits)
        assert kept + record.forgotten == len(events)
        # What has been built is what would be built now.
        for visit in history._visits:
            visit.built = None
            for task in visit.tasks.values():
                task.built = None
        assert history.record(float(at)) == record


def test_every_event_of_a_run_is_folded() -> None:
    """`run_started` begins another history."""
    events = {hook for hook in HOOKS if not hook.startswith("flow_")}
    assert events - set(_FOLDS) == {"run_started"}


def test_an_event_that_is_not_known_is_passed_over() -> None:
    """A later engine may have more of them."""
    assert made(entered(0), event(1, "state_admired")) == made(entered(0))
