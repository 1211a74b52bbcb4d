"""From events to a record: every hook, what comes late, and what has been forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from cano_sync import JoinConfig, JoinStrategy, Outcome, SplitResult, Verdict
from cano_sync.observe import Record, Span, Status
from cano_sync.observe.recording.history import Event, history

BOOM = ValueError("boom")
JOIN: JoinConfig[str] = JoinConfig(JoinStrategy.ANY, "NEXT")


def told(at: float, hook: str, state: str = "A", **facts: Any) -> Event:
    """An event of the run "run", by default about the state A and its only task."""
    if hook.startswith(("task_", "attempt_")):
        facts = {"task": "work", "index": None, **facts}
    return (at, hook, {"run_id": "run", "state": state, **facts})


def entered(at: float, state: str = "A", **facts: Any) -> Event:
    return told(at, "state_entered", state, is_exit=False, **facts)


def left(at: float, duration: float, state: str = "A", **facts: Any) -> Event:
    facts = {"next_state": "B", "error": None, **facts}
    return told(at, "state_left", state, duration=duration, **facts)


def made(*events: Event, now: float = 10.0, forgotten: int = 0) -> Record:
    return history(events, now, 1000.0, forgotten)


def only_span(record: Record) -> Span:
    (visit,) = record.visits
    (span,) = visit.spans
    return span


BEGIN = (told(0, "run_started"), entered(0))


# The run.


def test_a_run_that_goes_on_is_running_and_has_taken_as_long_as_until_now() -> None:
    record = made(*BEGIN)
    assert (record.run_id, record.state, record.status) == ("run", "A", Status.RUNNING)
    assert (record.started_at, record.duration) == (1000.0, 10.0)
    (visit,) = record.visits
    assert (visit.status, visit.duration) == (Status.RUNNING, 10.0)


def test_a_run_that_ended_keeps_its_duration_however_late_it_is_asked_for() -> None:
    end = told(2, "run_finished", "B", duration=2.0, error=None)
    record = made(*BEGIN, left(2, 2.0), told(2, "state_entered", "B", is_exit=True), end)
    assert (record.state, record.status, record.duration) == ("B", Status.SUCCEEDED, 2.0)
    first, last = record.visits
    assert (first.status, first.next_state, first.duration) == (Status.SUCCEEDED, "B", 2.0)
    assert (last.status, last.is_exit, last.duration) == (Status.SUCCEEDED, True, 0.0)


def test_a_run_that_fails_has_its_error_and_so_has_its_last_visit() -> None:
    gone = left(1, 1.0, next_state=None, error=BOOM)
    record = made(*BEGIN, gone, told(1, "run_finished", duration=1.0, error=BOOM))
    assert (record.status, record.error) == (Status.FAILED, BOOM)
    assert [(visit.status, visit.error) for visit in record.visits] == [(Status.FAILED, BOOM)]


def test_a_cancelled_run_says_why() -> None:
    record = made(
        *BEGIN,
        left(1, 1.0, next_state=None, error=BOOM),
        told(1, "run_cancelled", reason="enough"),
        told(1, "run_finished", duration=1.0, error=BOOM),
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
def test_a_task_has_the_end_that_was_told(hook: str, facts: Any, status: Status) -> None:
    span = only_span(made(*BEGIN, told(1, "task_started"), told(3, hook, duration=2.0, **facts)))
    assert (span.name, span.index, span.began, span.duration) == ("work", None, 1, 2.0)
    assert (span.status, span.error, span.reason) == (
        status,
        facts.get("error"),
        facts.get("reason"),
    )


def test_a_task_without_an_end_is_running() -> None:
    span = only_span(made(*BEGIN, told(1, "task_started"), now=5))
    assert (span.status, span.duration) == (Status.RUNNING, 4.0)


LEFT = (
    *BEGIN,
    told(0, "task_started"),
    told(1, "task_cancelled", duration=1.0, reason=None),
    told(1, "task_abandoned", attempt=1),
)


def test_a_task_that_was_left_behind_is_abandoned() -> None:
    span = only_span(made(*LEFT))
    assert (span.status, span.duration, span.late) == (Status.ABANDONED, 1.0, None)


def test_once_it_is_back_it_is_cancelled_and_late() -> None:
    span = only_span(made(*LEFT, told(4, "task_returned", attempt=1, late=3.0)))
    assert (span.status, span.duration, span.late) == (Status.CANCELLED, 1.0, 3.0)


def test_a_task_that_was_back_before_it_could_be_told_is_cancelled() -> None:
    events = [*LEFT[:-1], told(2, "task_returned", attempt=1, late=1.0), LEFT[-1]]
    span = only_span(made(*events))
    assert (span.status, span.late) == (Status.CANCELLED, 1.0)


def test_a_return_belongs_to_the_visit_that_was_left_so_long_ago() -> None:
    again = (
        entered(5),
        told(5, "task_started"),
        told(7, "task_cancelled", duration=2.0, reason=None),
        told(7, "task_abandoned", attempt=1),
    )
    record = made(*LEFT, left(1, 1.0), *again, told(8, "task_returned", attempt=1, late=7.0))
    statuses = [[span.status for span in visit.spans] for visit in record.visits]
    assert statuses == [[Status.CANCELLED], [Status.ABANDONED]]


def test_an_end_that_comes_late_belongs_to_the_visit_where_the_task_began() -> None:
    record = made(
        *BEGIN,
        told(0, "task_started"),
        left(1, 1.0),
        entered(2),
        told(2, "task_started"),
        told(2.1, "task_failed", duration=2.1, error=BOOM),
        told(4, "task_succeeded", duration=2.0),
    )
    statuses = [[span.status for span in visit.spans] for visit in record.visits]
    assert statuses == [[Status.FAILED], [Status.SUCCEEDED]]


# Attempts.

TRIES = (
    *BEGIN,
    told(0, "task_started"),
    told(0, "attempt_started", attempt=1),
    told(1, "attempt_failed", attempt=1, duration=1.0, error=BOOM, delay=2.0),
    told(3, "attempt_started", attempt=2),
)


def test_attempts_are_kept_with_their_errors_and_the_pauses_after_them() -> None:
    span = only_span(made(*TRIES, told(4, "task_succeeded", duration=4.0)))
    first, second = span.attempts
    assert (first.number, first.began, first.duration) == (1, 0, 1.0)
    assert (first.status, first.error, first.delay) == (Status.FAILED, BOOM, 2.0)
    assert (second.number, second.began, second.duration) == (2, 3, 1.0)
    assert (second.status, second.error, second.delay) == (Status.SUCCEEDED, None, None)


def test_the_last_attempt_fares_as_its_task() -> None:
    running = only_span(made(*TRIES, now=3.5)).attempts[1]
    assert (running.status, running.duration) == (Status.RUNNING, 0.5)
    cancelled = told(4, "task_cancelled", duration=4.0, reason=None)
    assert only_span(made(*TRIES, cancelled)).attempts[1].status is Status.CANCELLED


def test_an_attempt_that_was_left_behind_is_abandoned_though_its_task_goes_on() -> None:
    events = (*TRIES[:4], told(1, "task_abandoned", attempt=1), *TRIES[4:])
    done = told(4, "task_succeeded", duration=4.0)
    span = only_span(made(*events, done))
    assert (span.status, span.late) == (Status.SUCCEEDED, None)
    assert span.attempts[0].status is Status.ABANDONED
    back = only_span(made(*events, done, told(6, "task_returned", attempt=1, late=5.0)))
    assert (back.attempts[0].status, back.attempts[0].late) == (Status.FAILED, 5.0)


def test_the_one_attempt_of_a_task_without_retries_is_kept_if_it_was_left_behind() -> None:
    events = (
        *BEGIN,
        told(0, "task_started"),
        told(1, "task_abandoned", attempt=1),
        told(1, "task_failed", duration=1.0, error=BOOM),
    )
    (attempt,) = only_span(made(*events)).attempts
    assert (attempt.number, attempt.status, attempt.error) == (1, Status.ABANDONED, BOOM)
    assert (attempt.began, attempt.duration) == (0.0, 1.0)
    back = only_span(made(*events, told(6, "task_returned", attempt=1, late=5.0)))
    assert (back.attempts[0].status, back.attempts[0].late) == (Status.FAILED, 5.0)


# Splits.


def test_a_split_has_its_branches_its_join_and_who_never_began() -> None:
    result = SplitResult([], [], [])
    record = made(
        *BEGIN,
        told(0, "split_started", tasks=("one", "two", "three"), join=JOIN),
        told(1, "task_started", task="two", index=1),
        told(1, "task_started", task="one", index=0),
        told(2, "branch_landed", outcome=Outcome(1, "two", value=7)),
        told(2, "task_succeeded", task="two", index=1, duration=1.0),
        told(3, "join_decided", verdict=Verdict.PROCEED, result=result, timed_out=True, duration=3),
        told(3, "task_cancelled", task="one", index=0, duration=2.0, reason=None),
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
    lister = (told(0, "task_started"), told(1, "task_succeeded", duration=1.0))
    split = told(1, "split_started", tasks=("one",), join=JOIN)
    (visit,) = made(*BEGIN, *lister, split).visits
    assert [span.index for span in visit.spans] == [None, 0]
    assert [span.index for span in visit.branches] == [0]


# What has been forgotten.


def test_ends_without_a_beginning_are_dated_back() -> None:
    record = made(
        told(5, "attempt_failed", attempt=2, duration=0.5, error=BOOM, delay=None),
        told(5, "task_failed", duration=3.0, error=BOOM),
        left(6, 4.0, error=BOOM),
        told(6, "run_finished", "B", duration=6.0, error=None),
        forgotten=9,
    )
    (visit,) = record.visits
    (span,) = visit.spans
    assert (record.run_id, record.forgotten, visit.next_state) == ("run", 9, "B")
    assert (visit.began, span.began, span.attempts[0].began) == (2.0, 2.0, 4.5)
    assert span.status is Status.FAILED


@pytest.mark.parametrize("start", range(9))
def test_any_number_of_first_events_may_be_missing(start: int) -> None:
    events = [
        *TRIES,
        told(4, "task_abandoned", attempt=2),
        told(4, "task_cancelled", duration=4.0, reason="enough"),
        left(4, 4.0),
        told(5, "task_returned", attempt=2, late=1.0),
    ]
    assert made(*events[start:]).state == "A"
