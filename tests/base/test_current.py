"""The current token: that of the task that the code runs in."""

from __future__ import annotations

import contextvars
from typing import Any

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    Workflow,
    current_token,
)
from cano_sync._base.current import current_token_or_none, set_current_token

LONG = 3600.0


def test_outside_a_run_it_is_one_that_nobody_cancels() -> None:
    current_token().cancel()
    assert not current_token().cancelled
    assert current_token_or_none() is None


def test_it_belongs_to_the_context() -> None:
    token = CancellationToken()

    def inside() -> tuple[CancellationToken, CancellationToken | None]:
        set_current_token(token)
        return current_token(), current_token_or_none()

    assert contextvars.copy_context().run(inside) == (token, token)
    assert current_token_or_none() is None


def test_no_token_may_be_entered_again() -> None:
    def inside() -> CancellationToken | None:
        set_current_token(CancellationToken())
        set_current_token(None)
        return current_token_or_none()

    assert contextvars.copy_context().run(inside) is None


class Seen:
    """A task that notes whether the code far below sees the task's own token."""

    def __init__(self) -> None:
        self.same: list[bool] = []
        self.tokens: list[CancellationToken] = []

    def __call__(self, store: Any, cancel: CancellationToken) -> str:
        def far_below() -> None:
            self.same.append(current_token() is cancel)
            self.tokens.append(cancel)

        far_below()
        return "END"


def test_far_below_a_task_it_is_the_tasks() -> None:
    seen = Seen()
    workflow = (
        Workflow[str]()
        .register("START", seen, TaskConfig(attempt_timeout=LONG))
        .register("PLAIN", seen)
        .register_split("SPLIT", [seen, seen], JoinConfig(JoinStrategy.ALL, "END"))
        .add_exit_state("END")
    )
    for state in ("START", "PLAIN", "SPLIT"):
        assert workflow.orchestrate(state) == "END"
        assert workflow.with_timeout(LONG).orchestrate(state) == "END"
    assert seen.same == [True] * 8


def test_after_a_run_it_is_what_it_was_before() -> None:
    seen = Seen()
    workflow = Workflow[str]().register("START", seen).add_exit_state("END")
    workflow.orchestrate("START")
    assert current_token_or_none() is None


def test_each_run_has_a_token_of_its_own() -> None:
    seen = Seen()
    workflow = Workflow[str]().register("START", seen).add_exit_state("END")
    workflow.orchestrate("START")
    workflow.orchestrate("START")
    assert seen.tokens[0] is not seen.tokens[1]
