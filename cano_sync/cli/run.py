"""`cano-sync run`: one run, from what was typed to what came of it."""

from __future__ import annotations

__all__ = ("RunOptions", "run")

import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .._base.cancellation import CancellationToken
from .._base.store import MemoryStore, Store
from ..errors import (
    CanoError,
    ConfigurationError,
    WorkflowCancelledError,
    WorkflowTimeoutError,
)
from ..observe import Recorder
from ..workflow import Workflow
from .errors import (
    CANCELLED,
    FAIL_ON,
    FAILED,
    TIMED_OUT,
    CommandError,
    InvalidError,
    near,
    say,
    tell,
    user_traceback,
)
from .leave import Leave
from .result import Ending, as_json, as_text, problems_as_json
from .signals import Interruptions, exit_code
from .states import entrance, exit_of, state_of
from .target import find
from .verbose import hear_runs
from .views import Moving, console_on_stderr, draw_run, has_colour, is_moving
from .watch import Watch


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


def run(options: RunOptions, leave: Leave) -> int:
    """Do it, and print what came of it.

    Args:
        options: what was said.
        leave: is told how to leave.

    Returns:
        The exit code.

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

    recorder = Recorder() if options.timeline or options.html is not None else None
    # With a token the tasks run on a thread of the pool, and this one is free to hear signals.
    token = CancellationToken()
    with Interruptions(token.cancel) as signals:
        ending = _perform(workflow, state, store, options, recorder, token)
        signals.over()
        if isinstance(ending.error, WorkflowCancelledError) and signals.number is not None:
            ending = replace(ending, code=exit_code(signals.number), reason=signals.name)
        elif ending.error is None and ending.state in bad:
            ending = replace(ending, code=FAIL_ON)
        ending = _looked_up(ending, store, options.show)
        if recorder is not None:
            _draw(recorder, options)
        _print(ending, options, store)
        leave.done(by_signal=signals.number is not None, grace=options.grace)
    return ending.code


def _prepared(options: RunOptions) -> tuple[Workflow[Any], Any, list[Any], Store]:
    """The workflow, the state where it begins, the exit states that are failures, the store."""
    workflow = _valid(options.target, find(options.target, Workflow, "workflow"))
    description = workflow.description
    start = options.start
    state = entrance(description) if start is None else state_of(description, start)
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
    recorder: Recorder | None,
    token: CancellationToken,
) -> Ending:
    """Run it to its end."""
    watch, view = _watched(options.live)
    workflow = hear_runs(workflow.with_observer(watch), options.verbose)
    if recorder is not None:
        workflow = workflow.with_observer(recorder)
    if options.timeout is not None:
        workflow = workflow.with_timeout(options.timeout)
    began = time.monotonic()
    with view:
        try:
            final = workflow.orchestrate(state, store=store, cancel=token)
        except CanoError as error:
            return _failed(error, watch, time.monotonic() - began)
    seconds = time.monotonic() - began
    return Ending(outcome="completed", code=0, state=final, seconds=seconds, run_id=watch.run_id)


def _watched(live: bool) -> tuple[Watch, AbstractContextManager[object]]:
    """Who follows the run, and what shows it."""
    console = console_on_stderr()
    if not live:
        return Watch(), nullcontext()
    if not is_moving(console):
        return Watch(lambda line: tell(f"{line}\n")), nullcontext()
    watch = Watch()
    return watch, Moving(console, partial(draw_run, watch, console))


_OUTCOMES: tuple[tuple[type[CanoError], str, int], ...] = (
    (WorkflowCancelledError, "cancelled", CANCELLED),
    (WorkflowTimeoutError, "timed out", TIMED_OUT),
    (CanoError, "failed", FAILED),
)


def _failed(error: CanoError, watch: Watch, seconds: float) -> Ending:
    # A time limit or a cancellation of a run that is nested in a task is that task's failure.
    outcomes = _OUTCOMES if error.run_id == watch.run_id else _OUTCOMES[-1:]
    outcome, code = next((word, code) for kind, word, code in outcomes if isinstance(error, kind))
    cancelled, running = watch.stopped()
    return Ending(
        outcome=outcome,
        code=code,
        state=error.state if watch.state is None else watch.state,
        seconds=seconds,
        run_id=watch.run_id,
        error=error,
        reason=error.reason if isinstance(error, WorkflowCancelledError) else None,
        cancelled=tuple(cancelled),
        running=tuple(running),
    )


def _looked_up(ending: Ending, store: Store, keys: Sequence[str]) -> Ending:
    """With what the store has of these keys."""
    shown, missing = {}, []
    absent = object()
    for key in keys:
        value = store.get(key, default=absent)
        if value is absent:
            missing.append(key)
        else:
            shown[key] = value
    return replace(ending, shown=shown, missing=tuple(missing))


def _print(ending: Ending, options: RunOptions, store: Store) -> None:
    """The result on stdout; on stderr, for people, why there is none, and what is missing."""
    for key in ending.missing:
        say(f"the store has no {key!r} at the end{near(key, store.keys())}")
    if ending.error is not None:
        if options.trace:
            tell("".join(user_traceback(ending.error)))
        say(ending.summary)
    sys.stdout.write(as_json(ending) if options.layout == "json" else as_text(ending))
    sys.stdout.flush()


def _draw(recorder: Recorder, options: RunOptions) -> None:
    if options.timeline:
        console = console_on_stderr()
        drawn = recorder.timeline(width=console.width, color=has_colour(console))
        tell(drawn.rstrip("\n") + "\n")
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
