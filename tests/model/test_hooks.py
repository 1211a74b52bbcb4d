"""What an observer can hear of, and what `with_observer` makes of one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from cano_sync import ConfigurationError, Workflow
from cano_sync._model.hooks import HOOKS, Observer, listeners_of, overridden
from cano_sync.observe import Observer as PublicObserver


class Ends(Observer):
    def __init__(self) -> None:
        self.states: list[Any] = []

    def run_finished(self, *, state: Any, **_: Any) -> None:
        self.states.append(state)


def going() -> Workflow[str]:
    return Workflow[str]().register("GO", lambda: "END").add_exit_state("END")


def test_the_wing_shows_the_base_class_of_the_core() -> None:
    assert PublicObserver is Observer


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_takes_its_arguments_by_name_and_does_nothing(hook: str) -> None:
    parameters = inspect.signature(getattr(Observer(), hook)).parameters
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert getattr(Observer(), hook)(**dict.fromkeys(parameters)) is None


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_of_a_run_gets_its_id(hook: str) -> None:
    parameters = inspect.signature(getattr(Observer, hook)).parameters
    assert ("run_id" in parameters) is not hook.startswith("flow_")


def test_a_hook_that_nobody_overrides_is_not_heard() -> None:
    ends = Ends()
    assert overridden(ends) == ("run_finished",)
    assert overridden(Observer()) == ()
    listeners = listeners_of((ends, Observer()))
    assert list(listeners) == ["run_finished"]
    assert [observer for observer, _ in listeners["run_finished"]] == [ends]


def test_a_hook_is_heard_by_all_in_the_order_in_which_they_were_attached() -> None:
    first, second = Ends(), Ends()
    assert [who for who, _ in listeners_of((first, second))["run_finished"]] == [first, second]


def test_with_observer_makes_a_new_workflow() -> None:
    bare = going()
    ends = Ends()
    watched = bare.with_observer(ends)
    assert bare.description.observers == ()
    assert watched.description.observers == (ends,)
    bare.orchestrate("GO")
    assert ends.states == []
    watched.orchestrate("GO")
    assert ends.states == ["END"]


def test_several_observers_all_hear() -> None:
    observers = [Ends(), Ends(), Ends()]
    workflow = going()
    for observer in observers:
        workflow = workflow.with_observer(observer)
    workflow.orchestrate("GO")
    assert [observer.states for observer in observers] == [["END"]] * 3


def test_an_observer_attached_twice_hears_twice() -> None:
    ends = Ends()
    going().with_observer(ends).with_observer(ends).orchestrate("GO")
    assert ends.states == ["END", "END"]


def test_a_later_registration_keeps_the_observers() -> None:
    ends = Ends()
    workflow = Workflow[str]().with_observer(ends).register("GO", lambda: "END")
    workflow.add_exit_state("END").orchestrate("GO")
    assert ends.states == ["END"]


def test_the_base_class_itself_may_be_attached() -> None:
    assert going().with_observer(Observer()).orchestrate("GO") == "END"


class HearsNothing(Observer):
    def finished(self, **_: Any) -> None: ...


class TakesTooLittle(Observer):
    def state_entered(self, *, state: Any) -> None: ...  # type: ignore[override]


class TakesByPosition(Observer):
    def run_started(self, run_id: str, state: Any, /) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, ["None", "NoneType", "cano_sync.observe.Observer"]),
        (print, ["<built-in function print>", "no Observer"]),
        (Ends, ["Ends is a class", "Ends(...)"]),
        (HearsNothing(), ["HearsNothing overrides no hook", "run_finished"]),
        (TakesTooLittle(), ["TakesTooLittle.state_entered()", "run_id", "**_"]),
        (TakesByPosition(), ["TakesByPosition.run_started()", "by name"]),
    ],
)
def test_what_is_no_good_observer_is_refused_at_once(given: Any, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        going().with_observer(given)
    assert "with_observer()" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


class HasHelpers(Observer):
    """Names of its own, some of them near those of hooks: they are nobody's business."""

    def task_start(self, **_: Any) -> None:
        """What Celery would call a hook."""

    def __init__(self) -> None:
        self.listeners: list[str] = []

    def run_started(self, *, run_id: str, **_: Any) -> None:
        self.listeners.append(self.run_started_by(run_id))

    def run_started_by(self, run_id: str) -> str:
        """It has the hook whose name this is near."""
        return f"run {run_id}"

    def tasks_failed(self) -> int:
        """It takes nothing that `task_failed` is given."""
        return 0

    def run_finish(self, run_id: str) -> float:
        """It does not take all that `run_finished` is given."""
        return 0.0

    def summary(self, **_: Any) -> str:
        return ""

    @property
    def state_enter(self) -> str:
        return ""

    def _state_enter(self, **_: Any) -> None: ...


def test_helpers_may_have_names_of_their_own() -> None:
    observer = HasHelpers()
    going().with_observer(observer).orchestrate("GO")
    assert len(observer.listeners) == 1


class HearsAll(Observer):
    """Forwards what it hears, as an exporter would."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def on_event(self, *, event: str, run_id: str, **facts: Any) -> None:
        self.events.append((event, facts))


def test_one_hook_hears_every_event_by_its_name() -> None:
    observer = HearsAll()
    going().with_observer(observer).orchestrate("GO")
    assert [event for event, _ in observer.events] == [
        "run_started",
        "state_entered",
        "task_started",
        "task_succeeded",
        "state_left",
        "state_entered",
        "run_finished",
    ]
    assert observer.events[1][1] == {"state": "GO", "is_exit": False}


def test_the_hook_of_an_event_comes_after_the_one_for_all() -> None:
    class Both(HearsAll):
        def run_finished(self, *, run_id: str, **_: Any) -> None:
            self.events.append(("its own", {}))

    observer = Both()
    going().with_observer(observer).orchestrate("GO")
    assert [event for event, _ in observer.events[-2:]] == ["run_finished", "its own"]


def test_a_catch_all_that_takes_too_little_is_refused() -> None:
    class Forgetful(Observer):
        def on_event(self, *, event: str) -> None:  # type: ignore[override]
            """It takes no facts."""

    with pytest.raises(ConfigurationError, match=r"Forgetful.on_event\(\) does not take"):
        going().with_observer(Forgetful())
