"""Adding flows: each call, and everything that can be wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest
import schedule

from cano_sync import CancellationToken, ConfigurationError, MemoryStore, Store, Workflow
from cano_sync.observe import LoggingObserver
from cano_sync.scheduler import At, Backoff, Cron, Every, FlowObserver, FlowState, Manual, Scheduler
from cano_sync.testing import HandClock, start_by_hand
from tests.scheduler.conftest import FlowNotes, Journal, one

DONE = one(lambda: "DONE")

ADD: dict[str, Callable[..., None]] = {
    "add": lambda scheduler, *flow, **options: scheduler.add(*flow, Every(10), **options),
    "every": lambda scheduler, *flow, **options: scheduler.every(*flow, 10, **options),
    "every_seconds": lambda scheduler, *flow, **options: scheduler.every_seconds(
        *flow, 10, **options
    ),
    "every_minutes": lambda scheduler, *flow, **options: scheduler.every_minutes(
        *flow, 1, **options
    ),
    "every_hours": lambda scheduler, *flow, **options: scheduler.every_hours(*flow, 1, **options),
    "cron": lambda scheduler, *flow, **options: scheduler.cron(
        *flow, "0 9 * * *", tz=UTC, **options
    ),
    "at": lambda scheduler, *flow, **options: scheduler.at(
        *flow, schedule.every().minute.at(":30"), **options
    ),
    "manual": lambda scheduler, *flow, **options: scheduler.manual(*flow, **options),
}

every_call = pytest.mark.parametrize("add", ADD.values(), ids=ADD)


@pytest.mark.parametrize(
    ("call", "first", "text"),
    [
        ("add", 10, "every 10 s"),
        ("every", 10, "every 10 s"),
        ("every_seconds", 10, "every 10 s"),
        ("every_minutes", 60, "every minute"),
        ("every_hours", 3600, "every hour"),
        ("cron", 3600, "cron 0 9 * * * in UTC"),
        ("at", 30, "every minute at :30"),
        ("manual", None, "by hand"),
    ],
)
def test_a_flow_runs_first_when_its_timetable_says(
    call: str, first: float | None, text: str, scheduler: Scheduler, journal: Journal
) -> None:
    ADD[call](scheduler, "flow", one(journal), "GO")
    assert scheduler.status("flow").schedule == text
    with start_by_hand(scheduler) as time:
        time.advance(3600)
    assert journal.times[:1] == ([] if first is None else [first])


@pytest.mark.parametrize(
    ("call", "given", "timetable"),
    [
        ("every", (90,), Every(90)),
        ("every", (timedelta(minutes=1.5),), Every(90)),
        ("every_seconds", (90,), Every(90)),
        ("every_minutes", (1.5,), Every(90)),
        ("every_hours", (2,), Every(7200)),
        ("cron", ("0 9 * * MON",), Cron("0 9 * * MON")),
        ("manual", (), Manual()),
    ],
)
def test_a_short_cut_is_add_with_that_timetable(
    call: str, given: Any, timetable: Any, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[Any] = []
    monkeypatch.setattr(scheduler, "add", lambda *given, **options: added.append((given, options)))
    getattr(scheduler, call)("flow", DONE, "GO", *given, catch_up=True)
    assert added == [(("flow", DONE, "GO", timetable), {"catch_up": True})]


def test_one_timetable_serves_many_flows(scheduler: Scheduler) -> None:
    timetable = At(schedule.every().minute.at(":30"))
    for id in ("a", "b"):
        scheduler.add(id, DONE, "GO", timetable)
    with start_by_hand(scheduler) as time:
        time.advance(60)
    assert [status.runs for status in scheduler.list()] == [1, 1]


@pytest.mark.parametrize(
    "wrong", [10, "0 9 * * MON", None, timedelta(1), schedule.every().minute, Every]
)
def test_a_timetable_is_one(wrong: Any, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match=r"flow 'flow': .* is no timetable; give Every\("):
        scheduler.add("flow", DONE, "GO", wrong)
    assert scheduler.list() == ()


def test_flows_of_any_states_live_in_one_scheduler(scheduler: Scheduler) -> None:
    scheduler.manual("of strings", DONE, "GO")
    scheduler.manual("of numbers", Workflow().register(1, lambda: 2).add_exit_state(2), 1)
    with scheduler.start_in_background():
        assert scheduler.trigger("of strings").result(20) == "DONE"
        assert scheduler.trigger("of numbers").result(20) == 2


def test_a_flow_may_begin_where_its_workflow_ends(scheduler: Scheduler) -> None:
    scheduler.manual("flow", DONE, "DONE")
    with scheduler.start_in_background():
        assert scheduler.trigger("flow").result(20) == "DONE"


# What is wrong with the flow.


@every_call
@pytest.mark.parametrize("id", ["", "  ", None, 7, b"flow"])
def test_an_id_is_a_str_that_is_not_empty(add: Any, id: Any, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="id must be a str"):
        add(scheduler, id, DONE, "GO")
    assert scheduler.list() == ()


@every_call
def test_an_id_is_taken_once(add: Any, scheduler: Scheduler) -> None:
    scheduler.manual("flow", DONE, "GO")
    with pytest.raises(ConfigurationError, match="there is a flow 'flow' already"):
        add(scheduler, "flow", DONE, "GO")
    assert [status.schedule for status in scheduler.list()] == ["by hand"]


@every_call
def test_a_workflow_is_validated_when_it_is_added(add: Any, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="flow 'flow': there is no exit state"):
        add(scheduler, "flow", Workflow().register("GO", lambda: "DONE"), "GO")
    with pytest.raises(ConfigurationError, match="flow 'flow': a run cannot begin in 'STOP'"):
        add(scheduler, "flow", DONE, "STOP")
    with pytest.raises(ConfigurationError, match="is no Workflow"):
        add(scheduler, "flow", lambda: "DONE", "GO")
    assert scheduler.list() == ()


def test_all_problems_of_a_workflow_are_listed(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheduler.manual("flow", Workflow(), "GO")
    assert len(caught.value.problems) == 2


# What is wrong with the timetable; see the tests of each.


@pytest.mark.parametrize("call", ["every", "every_seconds", "every_minutes", "every_hours"])
@pytest.mark.parametrize("n", [0, -1, "5", None, True, float("nan"), 1e306 * 1e9])
def test_a_short_cut_refuses_what_is_no_interval(call: str, n: Any, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="is not an interval; give a microsecond or"):
        getattr(scheduler, call)("flow", DONE, "GO", n)
    assert scheduler.list() == ()


def test_a_wrong_expression_or_job_adds_nothing(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="Bad minute"):
        scheduler.cron("flow", DONE, "GO", "61 * * * *")
    with pytest.raises(ConfigurationError, match="no time zone"):
        scheduler.cron("flow", DONE, "GO", "1 * * * *", tz="Europe/Atlantis")
    with pytest.raises(ConfigurationError, match="does not say of what"):
        scheduler.at("flow", DONE, "GO", schedule.every(5))
    assert scheduler.list() == ()


# What is wrong with the options.


@every_call
@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"store": {}}, "a dict is not a store"),
        ({"store": 7}, "is not a store"),
        ({"catch_up": 1}, "catch_up is True or False"),
        ({"jitter": -1}, "jitter must be a finite number of seconds"),
        ({"jitter": "1 s"}, "jitter must be seconds"),
        ({"backoff": 5}, "backoff must be a Backoff"),
        ({"fail_on": "GO"}, "flow 'flow': fail_on names 'GO', where no run ends; .*: 'DONE'$"),
        ({"fail_on": ["DONE", "OVER", 7]}, "fail_on names 'OVER', 7, where no run ends"),
        ({"fail_on": [[]]}, r"fail_on names \[\], where no run ends"),
    ],
)
def test_a_wrong_option_is_refused(
    add: Any, option: Any, problem: str, scheduler: Scheduler
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        add(scheduler, "flow", DONE, "GO", **option)
    assert scheduler.list() == ()


@every_call
def test_an_option_that_there_is_not_is_a_type_error(add: Any, scheduler: Scheduler) -> None:
    with pytest.raises(TypeError, match="no option retries; there are backoff, catch_up, fail_on"):
        add(scheduler, "flow", DONE, "GO", retries=3)


def test_a_jitter_is_less_than_the_interval(scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match="less than the interval of 10 s"):
        scheduler.every("flow", DONE, "GO", 10, jitter=10)
    scheduler.every("flow", DONE, "GO", 10, jitter=9.9)


class Hears(FlowObserver):
    def flow_finished(self, *, flow: str) -> None:  # type: ignore[override]
        """Takes too little."""


class HearsAll(FlowObserver):
    def on_event(self, *, event: str) -> None:  # type: ignore[override]
        """Takes too little."""


class Deaf(FlowObserver):
    def flow_stared(self) -> None:
        """Misspelt, or a helper of the class's own: nobody guesses."""


@pytest.mark.parametrize(
    ("observer", "problem"),
    [
        (object(), ".*object is no FlowObserver; derive its class from .*FlowObserver"),
        (
            LoggingObserver(),
            r".*LoggingObserver .*it hears runs, .* such as LoggingFlowObserver\(\)",
        ),
        (FlowNotes, r"FlowNotes is a class; give an object of it: FlowNotes\(\.\.\.\)"),
        (Hears(), r"Hears\.flow_finished\(\) does not take what it is given .* end with \*\*_"),
        (HearsAll(), r"HearsAll\.on_event\(\) does not take what it is given .*'flow'"),
        (Deaf(), "Deaf overrides no hook, so it would hear nothing; there are flow_started, "),
    ],
)
def test_an_observer_is_checked(observer: Any, problem: str, scheduler: Scheduler) -> None:
    with pytest.raises(ConfigurationError, match=rf"Scheduler\(observers=\.\.\.\): {problem}"):
        Scheduler(observers=[observer])
    with pytest.raises(ConfigurationError, match=rf"add_observer\(\): {problem}"):
        scheduler.add_observer(observer)
    assert scheduler.observers == ()


def test_a_helper_whose_name_is_like_a_hooks_is_no_hook() -> None:
    class Mine(FlowObserver):
        def flow_finished(self, *, flow: str, **_: object) -> None:
            self.flow_finish(flow)

        def flow_finish(self, name: str) -> None:
            """A user's own."""

    assert len(Scheduler(observers=[Mine()]).observers) == 1


@pytest.mark.parametrize("observers", [FlowNotes(), None, 7])
def test_observers_come_in_a_list(observers: Any) -> None:
    with pytest.raises(ConfigurationError, match="takes a list"):
        Scheduler(observers=observers)


def test_observers_may_come_from_a_generator() -> None:
    notes = FlowNotes()
    scheduler = Scheduler(observers=(each for each in [notes]))
    scheduler.manual("flow", DONE, "GO")
    with scheduler.start_in_background():
        scheduler.trigger("flow").result(20)
    assert notes.names() == ["flow_started", "flow_finished"]


@pytest.mark.parametrize("clock", [7, HandClock, "now"])
def test_a_clock_is_checked(clock: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"wall\(\), monotonic\(\) and wait\(\)"):
        Scheduler(clock=clock)


@pytest.mark.parametrize("random", [7, "seed"])
def test_a_source_of_chance_is_checked(random: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"takes a random\.Random"):
        Scheduler(random=random)


# Stores.


def put(store: Store) -> str:
    store.update("runs", lambda runs: runs + 1, default=0)
    return "DONE"


def test_a_store_is_that_of_all_runs(scheduler: Scheduler) -> None:
    store = MemoryStore()
    scheduler.every("flow", one(put), "GO", 10, store=store)
    with start_by_hand(scheduler) as time:
        time.advance(30)
    assert store.get("runs") == 3


def test_a_factory_makes_one_for_each_run_on_the_runs_thread(scheduler: Scheduler) -> None:
    made: list[tuple[MemoryStore, str]] = []

    def make() -> MemoryStore:
        made.append((MemoryStore(), threading.current_thread().name))
        return made[-1][0]

    scheduler.every("flow", one(put), "GO", 10, store=make)
    with start_by_hand(scheduler) as time:
        time.advance(30)
    assert [store.get("runs") for store, _ in made] == [1, 1, 1]
    assert all(name.startswith("cano-flow") for _, name in made)


def test_a_class_of_stores_is_a_factory(scheduler: Scheduler) -> None:
    seen = []

    def look(store: Store) -> str:
        seen.append(store.snapshot())
        store.put("key", 1)
        return "DONE"

    scheduler.every("flow", one(look), "GO", 10, store=MemoryStore)
    with start_by_hand(scheduler) as time:
        time.advance(20)
    assert seen == [{}, {}]


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        (lambda: None, "returned None"),
        (dict, "a dict is not a store"),
        (lambda: 1 / 0, "division by zero"),
    ],
)
def test_a_factory_that_makes_no_store_is_a_failure_of_the_run(
    factory: Any, problem: str, scheduler: Scheduler
) -> None:
    scheduler.manual("flow", DONE, "GO", store=factory)
    with scheduler.start_in_background():
        with pytest.raises(Exception, match=problem):
            scheduler.trigger("flow").result(20)
        assert scheduler.status("flow").failures == 1
        assert scheduler.status("flow").state is FlowState.IDLE


def test_without_a_store_each_run_has_the_workflows_or_a_fresh_one(scheduler: Scheduler) -> None:
    store = MemoryStore()
    scheduler.manual("fresh", one(put), "GO")
    scheduler.manual("shared", Workflow(store).register("GO", put).add_exit_state("DONE"), "GO")
    with scheduler.start_in_background():
        for id in ("fresh", "fresh", "shared", "shared"):
            scheduler.trigger(id).result(20)
    assert store.get("runs") == 2


def test_a_backoff_and_a_token_are_not_mixed_up(scheduler: Scheduler) -> None:
    token: Any = CancellationToken()
    with pytest.raises(ConfigurationError, match="must be a Backoff"):
        scheduler.manual("flow", DONE, "GO", backoff=token)
    scheduler.manual("flow", DONE, "GO", backoff=Backoff(1))
