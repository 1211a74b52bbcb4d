"""`cano-sync run`: one run, from what was typed to what came of it."""

from __future__ import annotations

__all__ = ("RunOptions", "run")

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .. import wait_for_abandoned
from .._base.cancellation import CancellationToken
from .._base.store import MemoryStore, Store
from .._base.text import did_you_mean
from ..errors import CanoError, ConfigurationError
from ..observe import LoggingObserver, Observer, Recorder, Status
from ..observe.status import status_of
from ..workflow import Workflow
from .errors import (
    CANCELLED,
    FAIL_ON,
    FAILED,
    TIMED_OUT,
    CommandError,
    InvalidError,
    say,
    user_traceback,
    write,
)
from .live import NARROWEST, console_on_stderr, draw_run, has_colour, is_moving, live_view
from .log import lines, log_runs
from .process_exit import ProcessExit
from .report import RunReport, problems_as_json
from .signals import exit_code, interruptions
from .states import entrance_of, exit_of, state_of
from .target import find

MOMENT = 0.05
"""Seconds that tasks get to return before they are said to run still."""

KEPT = 10_000
"""How many events of a run are remembered that nobody wants a picture of."""

EXIT_CODES = {
    Status.SUCCEEDED: 0,
    Status.FAILED: FAILED,
    Status.CANCELLED: CANCELLED,
    Status.TIMED_OUT: TIMED_OUT,
    Status.NOT_STARTED: FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What can be said to `run`; the command line says what each is for."""

    target: str
    start: str | None
    pairs: Sequence[tuple[str, Any]]
    values: dict[str, Any] | None
    timeout: float | None
    live: bool
    timeline: bool
    html: Path | None
    show: Sequence[str]
    layout: str
    fail_on: Sequence[str]
    trace: bool
    grace: float | None
    verbose: int


def run(options: RunOptions, process_exit: ProcessExit) -> int:
    """Run it, and print the result; returns the exit code.

    Raises:
        CommandError: something that was asked for cannot be; nothing has run.
    """
    try:
        workflow, state, bad, store = _prepared(options)
    except (CommandError, CanoError) as error:
        if options.layout == "json":
            problems = error.problems if isinstance(error, CommandError) else (str(error),)
            sys.stdout.write(problems_as_json(options.target, problems))
        raise

    drawn = options.live or options.timeline or options.html is not None
    recorder = Recorder() if drawn else Recorder(limit=KEPT)
    # With a token the tasks run on a thread of the pool, and this one is free to hear signals.
    token = CancellationToken()
    with interruptions(token.cancel) as signals:
        report = _perform(workflow, state, store, options, recorder, token)
        signals.over()
        code = EXIT_CODES[report.outcome]
        if report.outcome is Status.CANCELLED and signals.number is not None:
            code = exit_code(signals.number)
            report = replace(report, reason=signals.name)
        elif report.outcome is Status.SUCCEEDED and report.state in bad:
            code = FAIL_ON
        report = _looked_up(report, store, options.show)
        _draw(recorder, options)
        _print(report, options, store)
        process_exit.done(by_signal=signals.number is not None, grace=options.grace)
    return code


def _prepared(options: RunOptions) -> tuple[Workflow[Any], Any, list[Any], Store]:
    """The workflow, the state where it begins, the exit states that are failures, the store."""
    workflow = _valid(options.target, find(options.target, Workflow))
    description = workflow.description
    start = options.start
    state = entrance_of(description) if start is None else state_of(description, start)
    bad = [exit_of(description, name) for name in options.fail_on]
    if options.html is not None:
        _check_writable(options.html)
    store = MemoryStore() if description.store is None else description.store
    for key, value in ({**(options.values or {}), **dict(options.pairs)}).items():
        store.put(key, value)
    return workflow, state, bad, store


def _valid(target: str, workflow: Workflow[Any]) -> Workflow[Any]:
    try:
        workflow.validate()
    except ConfigurationError as error:
        raise InvalidError(target, error.problems) from None
    return workflow


def _perform(
    workflow: Workflow[Any],
    state: Any,
    store: Store,
    options: RunOptions,
    recorder: Recorder,
    token: CancellationToken,
) -> RunReport:
    """Run it to its end."""
    workflow = log_runs(workflow, options.verbose)
    observers, view = _watched(options.live, recorder)
    for observer in observers:
        workflow = workflow.with_observer(observer)
    if options.timeout is not None:
        workflow = workflow.with_timeout(options.timeout)
    began = time.monotonic()
    with view:
        try:
            final = workflow.orchestrate(state, store=store, cancel=token)
        except CanoError as error:
            return _stopped(error, state, recorder, time.monotonic() - began)
    return RunReport(
        outcome=Status.SUCCEEDED,
        state=final,
        seconds=time.monotonic() - began,
        run_id=recorder.record.run_id,
    )


def _watched(
    live: bool, recorder: Recorder
) -> tuple[Sequence[Observer], AbstractContextManager[object]]:
    """The observers of the run, and what shows it."""
    console = console_on_stderr()
    if not live:
        return [recorder], nullcontext()
    if not is_moving(console):
        return [recorder, LoggingObserver(lines(logging.DEBUG), tracebacks="none")], nullcontext()
    return [recorder], live_view(console, partial(draw_run, recorder, console))


def _stopped(error: CanoError, start: Any, recorder: Recorder, seconds: float) -> RunReport:
    """The report of a run from `start` that did not come to an exit state."""
    # Tasks that listen to their tokens return within a millisecond or so.
    wait_for_abandoned(MOMENT)
    recorder.wait_for_returns(MOMENT)
    record = recorder.record
    run_id = record.run_id  # none, where it could not begin
    outcome = Status.NOT_STARTED if run_id is None else status_of(run_id, error)
    spans = record.visits[-1].spans if record.visits else ()
    return RunReport(
        outcome=outcome,
        state=start if run_id is None else record.state,
        seconds=seconds,
        run_id=run_id,
        error=error,
        reason=getattr(error, "reason", None) if outcome is Status.CANCELLED else None,
        cancelled=tuple(span.name for span in spans if span.status is Status.CANCELLED),
        abandoned=tuple(span.name for span in spans if span.status is Status.ABANDONED),
    )


def _looked_up(report: RunReport, store: Store, keys: Sequence[str]) -> RunReport:
    """With what the store has of these keys."""
    shown = {key: store.get(key) for key in keys if store.contains_key(key)}
    missing = [key for key in keys if key not in shown]
    return replace(report, shown=shown, missing=tuple(missing))


def _print(report: RunReport, options: RunOptions, store: Store) -> None:
    """The result on stdout; on stderr, for people, why there is none, and what is missing."""
    for key in report.missing:
        say(f"the store has no {key!r} at the end{did_you_mean(key, store.keys())}")
    if report.error is not None:
        if options.trace:
            write("".join(user_traceback(report.error)))
        say(report.summary)
    sys.stdout.write(report.json() if options.layout == "json" else report.text())
    sys.stdout.flush()


def _draw(recorder: Recorder, options: RunOptions) -> None:
    """The pictures of the run that were asked for."""
    if options.timeline:
        console = console_on_stderr()
        drawn = recorder.timeline(max(NARROWEST, console.width), has_colour(console))
        write(drawn.rstrip("\n") + "\n")
    if options.html is not None:
        try:
            options.html.write_text(recorder.to_html(options.target), encoding="utf-8")
        except OSError as error:
            say(f"the page could not be written to {options.html}: {error.strerror}")


def _check_writable(path: Path) -> None:
    """Find out before the run."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"cannot be written: no folder {path.parent}"
        raise CommandError(f"--html: {path} {what}")
