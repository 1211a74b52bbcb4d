"""Row 10: the language, the time zone and the URLs of the view are those of the branches."""

from __future__ import annotations

from datetime import timedelta
from datetime import timezone as fixed
from typing import Any

from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation

from cano_sync import MemoryStore, TaskConfig, Workflow
from tests.kit import SOON, Step, split

ZONE = fixed(timedelta(hours=5), "five")


def here() -> tuple[Any, ...]:
    return (
        translation.get_language(),
        timezone.get_current_timezone_name(),
        get_urlconf(),
        get_script_prefix(),
    )


def elsewhere(run: Any) -> None:
    """Run it where all of them are others than usual."""
    before = here()
    set_urlconf("tests.django_wing.urls")
    set_script_prefix("/shop/")
    try:
        with translation.override("de"), timezone.override(ZONE):
            run()
    finally:
        set_urlconf(before[2])
        set_script_prefix(before[3])


HOME = ("de", "five", "tests.django_wing.urls", "/shop/")


def test_branches_have_those_of_their_view() -> None:
    def changing() -> tuple[Any, ...]:
        found = here()
        translation.activate("en")
        return found

    workflow = split([changing] * 6, bulkhead=2, collect="seen")
    store = MemoryStore()
    elsewhere(lambda: workflow.orchestrate(Step.START, store=store))
    assert store.get("seen") == [HOME] * 6
    before = here()
    workflow.orchestrate(Step.START, store=store)  # on the same threads: nothing was left there
    assert store.get("seen") == [before] * 6


def test_runs_and_attempts_that_move_have_them_too() -> None:
    def note(store: Any) -> Step:
        store.append("seen", here())
        return Step.DONE

    config = TaskConfig().with_attempt_timeout(SOON)
    run = Workflow().register(Step.START, note).add_exit_state(Step.DONE)
    attempt = Workflow().register(Step.START, note, config).add_exit_state(Step.DONE)
    store = MemoryStore()

    def all_of_them() -> None:
        run.orchestrate(Step.START, store=store)
        run.with_timeout(SOON).orchestrate(Step.START, store=store)
        attempt.orchestrate(Step.START, store=store)
        run.submit(Step.START, store=store).result(SOON)

    elsewhere(all_of_them)
    assert store.get("seen") == [HOME] * 4


def test_where_translations_are_off_they_are_off_in_the_branches() -> None:
    store = MemoryStore()
    with translation.override(None):
        split([translation.get_language], collect="seen").orchestrate(Step.START, store=store)
    assert store.get("seen") == [None]
