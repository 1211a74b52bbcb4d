"""Attempts: retries as tenacity objects say, time limits, and what ends them."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import tenacity

from cano_sync import (
    AttemptTimeoutError,
    CancellationToken,
    Cancelled,
    CanoError,
    KeyNotFoundError,
    MemoryStore,
    Node,
    NodeExecutionError,
    PreparationError,
    RetryExhaustedError,
    Store,
    TaskConfig,
    TaskContext,
    TaskExecutionError,
    Workflow,
    WorkflowCancelledError,
    WorkflowTimeoutError,
    abandoned_tasks,
    current_token,
    task,
    wait_for_abandoned,
)
from tests.kit import SOON, Boom, Step


class Other(Exception):
    """Another failure."""


class Flaky:
    """A task that raises or returns what it was given, one after the other; then the last again."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.attempts: list[int] = []

    def __call__(self, store: Store, context: TaskContext) -> Any:
        self.attempts.append(context.attempt)
        result = self.results[min(len(self.attempts), len(self.results)) - 1]
        if isinstance(result, BaseException) or (
            isinstance(result, type) and issubclass(result, BaseException)
        ):
            raise result
        return result


def no_sleep(seconds: float) -> None:
    """tenacity's sleep, for tests that look at attempts and not at delays."""


def retrying(attempts: int = 3, **settings: Any) -> TaskConfig:
    """A config from a raw tenacity object."""
    settings.setdefault("stop", tenacity.stop_after_attempt(attempts))
    return TaskConfig(tenacity.Retrying(**{"sleep": no_sleep, **settings}))


def workflow(function: Any, config: TaskConfig | None = None) -> Workflow[Any]:
    return Workflow().register(Step.START, function, config).add_exit_states(Step.DONE, Step.MENDED)


def run(function: Any, config: TaskConfig | None = None, **given: Any) -> Any:
    return workflow(function, config).orchestrate(Step.START, **given)


# How often.


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_task_is_tried_again_until_it_succeeds(failures: int) -> None:
    flaky = Flaky(*[Boom] * failures, Step.DONE)
    assert run(flaky, TaskConfig().with_fixed_retry(2, delay=0)) is Step.DONE
    assert flaky.attempts == list(range(1, failures + 2))


@pytest.mark.parametrize(
    "config",
    [
        TaskConfig().with_fixed_retry(2, delay=0),
        TaskConfig().with_exponential_retry(2, base_delay=0.0001),
        retrying(3),
    ],
    ids=["fixed", "exponential", "tenacity"],
)
def test_after_the_last_attempt_the_retries_are_exhausted(config: TaskConfig) -> None:
    flaky = Flaky(Boom("first"), Boom("second"), Boom("third"))
    with pytest.raises(RetryExhaustedError) as caught:
        run(flaky, config)
    error = caught.value
    assert flaky.attempts == [1, 2, 3]
    assert error.attempts == 3
    assert error.__cause__ is flaky.results[2]
    assert (error.state, error.task) == (Step.START, "Flaky")
    assert error.run_id
    for word in ("Step.START", "'Flaky'", "all of its 3 attempts", "Boom: third"):
        assert word in str(error)


@pytest.mark.parametrize("config", [None, TaskConfig(), TaskConfig().with_fixed_retry(0, 1)])
def test_without_retries_nothing_is_exhausted(config: TaskConfig | None) -> None:
    flaky = Flaky(Boom, Step.DONE)
    with pytest.raises(TaskExecutionError) as caught:
        run(flaky, config)
    assert isinstance(caught.value.__cause__, Boom)
    assert flaky.attempts == [1]


def test_one_attempt_that_was_configured_is_exhausted_after_one() -> None:
    with pytest.raises(RetryExhaustedError, match="all of its 1 attempt;"):
        run(Flaky(Boom), retrying(1))


def test_stop_conditions_may_be_combined() -> None:
    stop = tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(0)
    flaky = Flaky(Boom)
    with pytest.raises(RetryExhaustedError):
        run(flaky, retrying(stop=stop))
    assert flaky.attempts == [1]


def test_the_time_of_the_first_attempt_counts_for_the_stop_condition() -> None:
    """It runs outside tenacity, and began before."""
    seen: list[float] = []

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.seconds_since_start is not None
        seen.append(state.seconds_since_start)
        return True

    def start(store: Store) -> Any:
        threading.Event().wait(0.02)  # a real sleep: this is about its length
        raise Boom

    with pytest.raises(RetryExhaustedError):
        run(start, retrying(stop=stop))
    assert seen[0] >= 0.02


def test_one_config_serves_many_runs_at_once() -> None:
    config = TaskConfig().with_fixed_retry(1, delay=0)
    together = threading.Barrier(4)

    def start(store: Store, context: TaskContext) -> Step:
        together.wait(SOON)
        if context.attempt == 1:
            raise Boom
        return Step.DONE

    shared = workflow(start, config)
    futures = [shared.submit(Step.START) for _ in range(4)]
    assert [future.result(SOON) for future in futures] == [Step.DONE] * 4


# Which errors.


def test_an_error_that_the_predicate_does_not_retry_passes_at_once() -> None:
    only = tenacity.retry_if_exception_type(Boom)
    flaky = Flaky(Boom, Other("fatal"), Step.DONE)
    with pytest.raises(TaskExecutionError) as caught:
        run(flaky, retrying(5, retry=only))
    assert flaky.attempts == [1, 2]
    assert caught.value.__cause__ is flaky.results[1]
    assert not isinstance(caught.value, RetryExhaustedError)


def test_an_error_of_the_tree_that_is_not_retried_passes_as_it_is() -> None:
    def start(store: Store) -> Any:
        return store.get("no such key")

    with pytest.raises(KeyNotFoundError) as caught:
        run(start, retrying(5, retry=tenacity.retry_if_exception_type(Boom)))
    assert caught.value.state is Step.START


class Steps(Node):
    """A node that fails in one of its steps so many times."""

    def __init__(self, step: str, error: Exception, failures: int) -> None:
        self.step, self.error, self.failures = step, error, failures
        self.log: list[str] = []

    def _do(self, step: str) -> None:
        self.log.append(step)
        if step == self.step and self.failures:
            self.failures -= 1
            raise self.error

    def prep(self, store: Store) -> int:
        self._do("prep")
        return 1

    def exec(self, prepared: int) -> int:
        self._do("exec")
        return prepared + 1

    def post(self, store: Store, result: int) -> Step:
        self._do("post")
        return Step.DONE


@pytest.mark.parametrize("step", ["prep", "exec", "post"])
def test_a_retry_restarts_all_steps_of_a_node(step: str) -> None:
    node = Steps(step, Boom(), 1)
    run(node, TaskConfig().with_fixed_retry(1, delay=0))
    names = ["prep", "exec", "post"]
    assert node.log == [*names[: names.index(step) + 1], *names]


@pytest.mark.parametrize(
    ("step", "kind"),
    [("prep", PreparationError), ("exec", NodeExecutionError), ("post", NodeExecutionError)],
)
def test_predicates_see_the_users_exception_of_a_node(step: str, kind: type[CanoError]) -> None:
    only = tenacity.retry_if_exception_type(Boom)
    retried = Steps(step, Boom(), 1)
    assert run(retried, retrying(retry=only)) is Step.DONE
    passed = Steps(step, Other("fatal"), 1)
    with pytest.raises(kind) as caught:
        run(passed, retrying(retry=only))
    assert caught.value.__cause__ is passed.error
    assert (caught.value.state, caught.value.task) == (Step.START, "Steps")
    assert passed.log.count("prep") == 1


def test_the_cause_of_exhausted_retries_of_a_node_is_the_nodes_error() -> None:
    with pytest.raises(RetryExhaustedError) as caught:
        run(Steps("exec", Boom("no"), 9), TaskConfig().with_fixed_retry(1, delay=0))
    cause = caught.value.__cause__
    assert isinstance(cause, NodeExecutionError)
    assert isinstance(cause.__cause__, Boom)


def test_a_node_that_uses_tenacity_itself_fails_as_a_node() -> None:
    own = tenacity.RetryError(tenacity.Future(1))
    with pytest.raises(NodeExecutionError):
        run(Steps("exec", own, 1), retrying(retry=tenacity.retry_if_exception_type(Boom)))


def test_a_task_that_uses_tenacity_itself_fails_with_its_error() -> None:
    own = tenacity.RetryError(tenacity.Future(1))
    with pytest.raises(TaskExecutionError) as caught:
        run(Flaky(own), retrying(retry=tenacity.retry_if_exception_type(Boom)))
    assert caught.value.__cause__ is own


def test_retry_if_result_tries_again_though_nothing_was_raised() -> None:
    flaky = Flaky(Step.MENDED, Step.MENDED, Step.DONE)
    config = retrying(5, retry=tenacity.retry_if_result(lambda state: state is Step.MENDED))
    assert run(flaky, config) is Step.DONE
    assert flaky.attempts == [1, 2, 3]


def test_a_result_that_is_retried_to_the_end_exhausts_too() -> None:
    config = retrying(2, retry=tenacity.retry_if_result(lambda state: state is Step.MENDED))
    with pytest.raises(RetryExhaustedError, match="returned what its config retries on") as caught:
        run(Flaky(Step.MENDED), config)
    assert caught.value.attempts == 2
    assert caught.value.__cause__ is None


def test_retry_any_looks_at_errors_and_results() -> None:
    either = tenacity.retry_any(
        tenacity.retry_if_exception_type(Boom),
        tenacity.retry_if_result(lambda state: state is Step.MENDED),
    )
    flaky = Flaky(Boom, Step.MENDED, Boom, Step.DONE)
    assert run(flaky, retrying(9, retry=either)) is Step.DONE
    assert flaky.attempts == [1, 2, 3, 4]
    with pytest.raises(TaskExecutionError):
        run(Flaky(Step.MENDED, Other), retrying(9, retry=either))


def test_a_predicate_may_be_a_plain_function() -> None:
    def failed(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.failed)

    flaky = Flaky(Boom, Step.DONE)
    assert run(flaky, retrying(retry=failed)) is Step.DONE
    assert flaky.attempts == [1, 2]


@pytest.mark.parametrize(
    "until",
    [
        tenacity.retry_unless_exception_type(Other),
        tenacity.retry_if_not_exception_message(message="enough"),
    ],
    ids=["unless_exception_type", "if_not_exception_message"],
)
def test_a_predicate_that_retries_successes_is_asked_about_the_first(until: Any) -> None:
    """Both mean: go on until that error comes."""
    flaky = Flaky(Step.DONE, Step.DONE, Other("enough"))
    with pytest.raises(TaskExecutionError):
        run(flaky, retrying(5, retry=until))
    assert flaky.attempts == [1, 2, 3]


def test_a_users_predicate_below_retry_if_exception_is_asked_about_the_first() -> None:
    class ErrorsAndMended(tenacity.retry_if_exception_type):
        def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
            assert retry_state.outcome is not None
            if retry_state.outcome.failed:
                return super().__call__(retry_state)
            return retry_state.outcome.result() is Step.MENDED

    flaky = Flaky(Step.MENDED, Step.DONE)
    assert run(flaky, retrying(5, retry=ErrorsAndMended())) is Step.DONE


def test_try_again_is_tried_again_whatever_the_predicate_says() -> None:
    flaky = Flaky(tenacity.TryAgain, tenacity.TryAgain, Step.DONE)
    config = retrying(5, retry=tenacity.retry_if_exception_type(Other))
    assert run(flaky, config) is Step.DONE
    assert flaky.attempts == [1, 2, 3]


def test_try_again_to_the_end_exhausts() -> None:
    with pytest.raises(RetryExhaustedError) as caught:
        run(Flaky(tenacity.TryAgain), retrying(2))
    assert isinstance(caught.value.__cause__, tenacity.TryAgain)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Cancelled])
def test_what_is_no_exception_is_never_retried(kind: type[BaseException]) -> None:
    flaky = Flaky(kind, Step.DONE)
    expected = TaskExecutionError if kind is Cancelled else kind
    with pytest.raises(expected):
        run(flaky, TaskConfig().with_fixed_retry(5, delay=0))
    assert flaky.attempts == [1]


# What else tenacity offers.


def test_with_reraise_too_the_error_says_that_all_attempts_failed() -> None:
    with pytest.raises(RetryExhaustedError) as caught:
        run(Flaky(Boom), retrying(2, reraise=True))
    assert isinstance(caught.value.__cause__, Boom)


def test_the_callbacks_are_called_as_tenacity_calls_them() -> None:
    log: list[tuple[str, int]] = []

    def note(what: str) -> Callable[[tenacity.RetryCallState], None]:
        return lambda state: log.append((what, state.attempt_number))

    flaky = Flaky(Boom, Boom, Step.DONE)
    config = retrying(
        before=note("before"),
        after=note("after"),
        before_sleep=note("before_sleep"),
        sleep=lambda seconds: log.append(("sleep", int(seconds))),
        wait=tenacity.wait_fixed(7),
    )
    assert run(flaky, config) is Step.DONE
    between = [("after", 1), ("before_sleep", 1), ("sleep", 7), ("before", 2)]
    assert log[0] == ("before", 1)
    assert log[1:5] == between
    assert log[5:] == [("after", 2), ("before_sleep", 2), ("sleep", 7), ("before", 3)]


def test_callbacks_see_the_outcome_and_the_delay_to_come() -> None:
    seen: list[tuple[Any, Any, Any]] = []

    def before_sleep(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None and state.next_action is not None
        seen.append((state.attempt_number, state.outcome.exception(), state.next_action.sleep))

    flaky = Flaky(Boom("one"), Boom("two"), Step.DONE)
    waits = tenacity.wait_incrementing(start=1, increment=2)
    run(flaky, retrying(before_sleep=before_sleep, wait=waits))
    assert seen == [(1, flaky.results[0], 1), (2, flaky.results[1], 3)]


def test_tenacitys_own_log_callback_works(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.attempts")
    with caplog.at_level(logging.WARNING, "tests.attempts"):
        run(
            Flaky(Boom("hiccup"), Step.DONE),
            retrying(before_sleep=tenacity.before_sleep_log(logger, logging.WARNING)),
        )
    assert "hiccup" in caplog.text


def test_a_retry_error_callbacks_value_is_the_tasks_result() -> None:
    flaky = Flaky(Boom)
    assert run(flaky, retrying(2, retry_error_callback=lambda state: Step.MENDED)) is Step.MENDED
    assert flaky.attempts == [1, 2]


def test_a_callback_that_raises_fails_the_task() -> None:
    def callback(state: tenacity.RetryCallState) -> None:
        raise Other("in the callback")

    with pytest.raises(TaskExecutionError) as caught:
        run(Flaky(Boom), retrying(2, before_sleep=callback))
    assert isinstance(caught.value.__cause__, Other)


def test_a_retrying_that_is_not_enabled_runs_once() -> None:
    flaky = Flaky(Boom, Step.DONE)
    with pytest.raises(TaskExecutionError) as caught:
        run(flaky, retrying(5, enabled=False))
    assert isinstance(caught.value.__cause__, Boom)
    assert flaky.attempts == [1]


def test_a_subclass_of_retrying_keeps_its_class() -> None:
    class Mine(tenacity.Retrying):
        made = 0

        def iter(self, retry_state: tenacity.RetryCallState) -> Any:
            Mine.made += 1
            return super().iter(retry_state)

    config = TaskConfig(Mine(stop=tenacity.stop_after_attempt(2), sleep=no_sleep))
    assert run(Flaky(Boom, Step.DONE), config) is Step.DONE
    assert Mine.made > 0


def test_the_users_retrying_object_is_left_as_it_was() -> None:
    """Its statistics belong to whoever else uses it."""
    mine = tenacity.Retrying(stop=tenacity.stop_after_attempt(2), sleep=no_sleep)
    run(Flaky(Boom, Step.DONE), TaskConfig(mine))
    assert mine.statistics == {}


def test_a_first_attempt_that_succeeds_does_not_enter_tenacity() -> None:
    """Law 7: the happy path is free."""

    class Untouchable(tenacity.Retrying):
        def copy(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("tenacity was entered")

        iter = begin = copy

    assert run(Flaky(Step.DONE), TaskConfig(Untouchable())) is Step.DONE
    with pytest.raises(TaskExecutionError, match="tenacity was entered"):
        run(Flaky(Boom), TaskConfig(Untouchable()))


def test_exponential_delays_grow_to_their_limit_and_vary_by_a_share() -> None:
    config = TaskConfig().with_exponential_retry(
        9, base_delay=1, multiplier=3, max_delay=timedelta(seconds=20), jitter=0.5
    )
    slept: list[float] = []
    assert config.retry is not None
    config = TaskConfig(config.retry.copy(sleep=slept.append))
    with pytest.raises(RetryExhaustedError):
        run(Flaky(Boom), config)
    assert len(slept) == 9
    for delay, middle in zip(slept, [1, 3, 9] + [20] * 6, strict=True):
        assert middle * 0.5 <= delay <= middle * 1.5
    assert len(set(slept[3:])) > 1


def test_fixed_delays_are_all_the_same() -> None:
    slept: list[float] = []
    retry = TaskConfig().with_fixed_retry(3, delay=timedelta(milliseconds=250)).retry
    assert retry is not None
    with pytest.raises(RetryExhaustedError):
        run(Flaky(Boom), TaskConfig(retry.copy(sleep=slept.append)))
    assert slept == [0.25] * 3


# Cancellation.


def test_the_sleep_between_attempts_is_a_cancellation_point() -> None:
    """The delay is longer than the test may take."""
    token, flaky = CancellationToken(), Flaky(Boom)
    asleep = threading.Event()
    config = TaskConfig(
        tenacity.Retrying(wait=tenacity.wait_fixed(3600), before_sleep=lambda state: asleep.set())
    )
    future = workflow(flaky, config).submit(Step.START, cancel=token)
    assert asleep.wait(SOON)
    token.cancel("no more tries")
    error = future.exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason == "no more tries"
    assert flaky.attempts == [1]


def test_the_workflows_deadline_ends_a_sleep_between_attempts() -> None:
    config = TaskConfig(tenacity.Retrying(wait=tenacity.wait_fixed(3600)))
    with pytest.raises(WorkflowTimeoutError):
        workflow(Flaky(Boom), config).with_timeout(0.25).orchestrate(Step.START)


def test_a_sleep_of_ones_own_is_called_as_it_is_and_followed_by_a_look_at_the_token() -> None:
    token = CancellationToken()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        token.cancel("while it slept")

    flaky = Flaky(Boom)
    with pytest.raises(WorkflowCancelledError):
        run(flaky, retrying(5, sleep=sleep, wait=tenacity.wait_fixed(3)), cancel=token)
    assert slept == [3]
    assert flaky.attempts == [1]


@pytest.mark.parametrize("config", [TaskConfig().with_fixed_retry(5, delay=0), retrying(5)])
def test_an_error_after_the_cancellation_is_not_retried(config: TaskConfig) -> None:
    """It is a consequence, not events: the run reports the cancellation."""
    tries: list[int] = []

    def start(store: Store, cancel: CancellationToken) -> Any:
        tries.append(1)
        cancel.cancel("from inside")
        raise Boom("the connection was closed")

    with pytest.raises(WorkflowCancelledError) as caught:
        run(start, config)
    assert isinstance(caught.value.__cause__, Boom)
    assert caught.value.reason == "from inside"
    assert tries == [1]


def test_a_broad_except_cannot_swallow_the_signal() -> None:
    token, reached = CancellationToken(), []

    def start(store: Store, cancel: CancellationToken) -> Any:
        token.cancel()
        try:
            cancel.check()
        except Exception:
            reached.append("swallowed")
        return Step.DONE

    with pytest.raises(WorkflowCancelledError):
        run(start, TaskConfig().with_fixed_retry(5, delay=0), cancel=token)
    assert reached == []


# Time limits of an attempt.


def limited(limit: float | timedelta = 0.25, **settings: Any) -> TaskConfig:
    if not settings:
        return TaskConfig(attempt_timeout=limit)
    return retrying(**settings).with_attempt_timeout(limit)


def test_an_attempt_within_its_time_returns() -> None:
    flaky = Flaky(Step.DONE)
    assert run(flaky, limited(60)) is Step.DONE
    assert flaky.attempts == [1]


def test_an_attempt_within_its_time_fails_as_without() -> None:
    with pytest.raises(TaskExecutionError) as caught:
        run(Flaky(Boom), limited(60))
    assert isinstance(caught.value.__cause__, Boom)
    with pytest.raises(RetryExhaustedError) as exhausted:
        run(Flaky(Boom), limited(60, attempts=2))
    assert exhausted.value.attempts == 2


@pytest.mark.parametrize("limit", [0.05, timedelta(milliseconds=50)])
def test_an_attempt_over_its_time_is_an_error_of_its_own(
    limit: float | timedelta, gate: threading.Event
) -> None:
    def slow() -> Any:
        gate.wait(SOON)

    with pytest.raises(AttemptTimeoutError) as caught:
        run(slow, limited(limit))
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.state, error.task) == (Step.START, "slow")
    assert error.run_id
    for word in ("Step.START", "attempt 1 of task 'slow'", "0.05 s", "abandoned"):
        assert word in str(error)


def test_an_attempt_over_its_time_is_abandoned_and_counted(
    gate: threading.Event, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with pytest.raises(AttemptTimeoutError):
        run(lambda store: gate.wait(SOON), limited())
    assert abandoned_tasks() == 1
    gate.set()
    assert wait_for_abandoned(SOON)


def test_an_attempt_timeout_without_retries_is_not_repeated(gate: threading.Event) -> None:
    tries: list[int] = []
    with pytest.raises(AttemptTimeoutError):
        run(lambda store: tries.append(1) or gate.wait(SOON), limited())
    assert tries == [1]


def test_an_attempt_timeout_is_retried_where_retries_are_configured(gate: threading.Event) -> None:
    tries: list[int] = []

    def slow_once(store: Store, context: TaskContext) -> Step:
        tries.append(context.attempt)
        if context.attempt == 1:
            gate.wait(SOON)
        return Step.DONE

    assert run(slow_once, limited(0.3, attempts=3)) is Step.DONE
    assert tries == [1, 2]


def test_attempt_timeouts_to_the_end_exhaust(gate: threading.Event) -> None:
    with pytest.raises(RetryExhaustedError) as caught:
        run(lambda store: gate.wait(SOON), limited(attempts=2))
    assert isinstance(caught.value.__cause__, AttemptTimeoutError)
    assert "attempt 2" in str(caught.value.__cause__)
    assert caught.value.attempts == 2


def test_predicates_see_an_attempt_timeout(gate: threading.Event) -> None:
    tries: list[int] = []
    only = tenacity.retry_if_not_exception_type(TimeoutError)
    with pytest.raises(AttemptTimeoutError):
        run(
            lambda store: tries.append(1) or gate.wait(SOON),
            limited(attempts=5, retry=only),
        )
    assert tries == [1]


def test_the_attempts_token_has_its_deadline_and_is_cancelled_by_it() -> None:
    seen: queue.Queue[Any] = queue.Queue()

    def slow(store: Store, cancel: CancellationToken) -> Any:
        seen.put(cancel.remaining())
        seen.put(current_token() is cancel)
        seen.put(cancel.wait(SOON))
        cancel.check()

    with pytest.raises(AttemptTimeoutError):
        run(slow, limited())
    left, same, cancelled = (seen.get(timeout=SOON) for _ in range(3))
    assert 0 <= left <= 0.25
    assert same
    assert cancelled


def test_callbacks_of_the_attempts_token_interrupt_what_blocks() -> None:
    """As a socket is closed."""
    interrupted, seen = threading.Event(), threading.Event()

    def blocking(store: Store, cancel: CancellationToken) -> Any:
        with cancel.on_cancel(interrupted.set):
            interrupted.wait(SOON)
        seen.set()
        raise OSError("the socket was closed")

    with pytest.raises(AttemptTimeoutError):
        run(blocking, limited())
    assert seen.wait(SOON)


def test_a_fresh_token_for_each_attempt(gate: threading.Event) -> None:
    tokens: list[CancellationToken] = []

    def slow_once(store: Store, cancel: CancellationToken) -> Step:
        tokens.append(cancel)
        if len(tokens) == 1:
            gate.wait(SOON)
        cancel.check()
        return Step.DONE

    assert run(slow_once, limited(0.3, attempts=2)) is Step.DONE
    assert len(set(tokens)) == 2
    assert tokens[0].cancelled


def test_the_late_writes_of_an_abandoned_attempt_are_refused(gate: threading.Event) -> None:
    store = MemoryStore({"list": []})
    raised: queue.Queue[type[BaseException] | None] = queue.Queue()

    def slow(store: Store, context: TaskContext) -> Any:
        store.append("list", context.attempt)
        if context.attempt > 1:
            return Step.DONE
        gate.wait(SOON)
        for write in (
            lambda: store.put("late", True),
            lambda: store.append("list", "late"),
            lambda: store.update("n", lambda n: n + 1, default=0),
            lambda: store.remove("list"),
            store.clear,
        ):
            try:
                write()
            except BaseException as error:
                raised.put(type(error))
            else:
                raised.put(None)
        return Step.DONE

    assert run(slow, limited(0.3, attempts=2), store=store) is Step.DONE
    gate.set()
    assert [raised.get(timeout=SOON) for _ in range(5)] == [Cancelled] * 5
    assert store.snapshot() == {"list": [1, 2]}


def test_the_next_state_can_write_while_an_attempt_is_abandoned(gate: threading.Event) -> None:
    store = MemoryStore()
    chain = (
        Workflow()
        .register(Step.START, lambda store: gate.wait(SOON), limited(), error_state=Step.MENDED)
        .register(Step.MENDED, lambda store: store.put("mended", True) or Step.DONE)
        .add_exit_state(Step.DONE)
    )
    assert chain.orchestrate(Step.START, store=store) is Step.DONE
    assert store.get("mended") is True


def test_a_cancellation_ends_the_wait_for_a_deaf_attempt(gate: threading.Event) -> None:
    token, started = CancellationToken(), threading.Event()

    def deaf(store: Store) -> Any:
        started.set()
        gate.wait(SOON)

    config = limited(3600, attempts=5)
    future = workflow(deaf, config).submit(Step.START, cancel=token)
    assert started.wait(SOON)
    token.cancel("enough")
    error = future.exception(SOON)
    assert isinstance(error, WorkflowCancelledError)
    assert error.reason == "enough"


def test_an_attempt_timeout_applies_to_a_node_as_a_whole(gate: threading.Event) -> None:
    class Slow(Node):
        def exec(self, prepared: None) -> None:
            gate.wait(SOON)

        def post(self, store: Store, result: None) -> Step:
            return Step.DONE

    with pytest.raises(AttemptTimeoutError, match="'Slow'"):
        run(Slow(), limited())


def test_a_decorated_task_brings_its_limit_along(gate: threading.Event) -> None:
    @task(config=limited())
    def slow() -> Any:
        gate.wait(SOON)

    with pytest.raises(AttemptTimeoutError):
        run(slow)


def test_a_task_that_cancels_its_token_ends_the_run_with_an_attempt_timeout_too() -> None:
    """As it does without one."""

    def stop(store: Store, cancel: CancellationToken) -> Any:
        cancel.cancel("the task says so")
        cancel.check()

    with pytest.raises(WorkflowCancelledError, match="the task says so"):
        run(stop, limited(60))


def test_an_attempt_timeout_of_zero_is_a_timeout(gate: threading.Event) -> None:
    with pytest.raises(AttemptTimeoutError):
        run(lambda store: gate.wait(SOON), limited(0))
