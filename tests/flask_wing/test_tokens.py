"""The token of a request: its time, and its end."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, request

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    WorkflowCancelledError,
    wait_for_abandoned,
)
from cano_sync.flask import Cano, RequestEndedError
from tests.kit import SOON, Step, single, split


def cano_of(app: Flask) -> Cano:
    cano: Cano = app.extensions["cano_sync"]
    return cano


def test_all_of_a_request_get_the_same_token(app: Flask) -> None:
    cano, tokens = cano_of(app), []
    with app.test_request_context():
        split([lambda: tokens.append(cano.request_token())] * 4).orchestrate(Step.START)
        tokens.append(cano.request_token())
    with app.test_request_context():
        other = cano.request_token()
    assert len({id(token) for token in tokens}) == 1
    assert other is not tokens[0]
    assert tokens[0].deadline is None


@pytest.mark.parametrize("limit", [60, 60.0, timedelta(minutes=1)])
def test_its_time_runs_from_the_beginning_of_the_request(app: Flask, limit: Any) -> None:
    app.config["CANO_REQUEST_TIMEOUT"] = limit
    cano, seen = cano_of(app), []

    @app.before_request
    def before() -> None:
        with_own_time = CancellationToken(timeout=60)
        seen.append(with_own_time.deadline)

    @app.get("/")
    def view() -> str:
        seen.append(cano.request_token().deadline)
        return "done"

    app.test_client().get("/")
    assert seen[1] <= seen[0]


def test_what_was_submitted_with_it_ends_with_the_request(app: Flask) -> None:
    cano, futures, begun = cano_of(app), [], threading.Event()

    def wait(cancel: CancellationToken) -> None:
        begun.set()
        cancel.sleep(SOON)

    @app.get("/")
    def view() -> str:
        token = cano.request_token()
        futures.append(single(lambda _, cancel: wait(cancel)).submit(Step.START, cancel=token))
        begun.wait(SOON)
        return "done"

    assert app.test_client().get("/").status_code == 200
    with pytest.raises(WorkflowCancelledError, match="the request has ended"):
        futures[0].result(SOON)
    assert wait_for_abandoned(SOON)


def test_what_was_submitted_without_it_goes_on(app: Flask, gate: threading.Event) -> None:
    cano, futures = cano_of(app), []

    @app.get("/")
    def view() -> str:
        cano.request_token()
        futures.append(
            single(lambda: Step.DONE if gate.wait(SOON) else Step.LOST).submit(Step.START)
        )
        return "done"

    app.test_client().get("/")
    gate.set()
    assert futures[0].result(SOON) is Step.DONE


def test_after_the_request_there_is_none(app: Flask, gate: threading.Event) -> None:
    cano, futures = cano_of(app), []

    def ask() -> Step:
        gate.wait(SOON)
        with pytest.raises(RequestEndedError, match="the token of the request was asked for"):
            cano.request_token()
        return Step.DONE

    @app.get("/")
    def view() -> str:
        futures.append(single(ask).submit(Step.START))
        return "done"

    app.test_client().get("/")
    gate.set()
    assert futures[0].result(SOON) is Step.DONE


def test_without_a_request_there_is_none(app: Flask) -> None:
    with app.app_context(), pytest.raises(ConfigurationError, match="there is no request here"):
        cano_of(app).request_token()
    with (
        Flask("other").test_request_context(),
        pytest.raises(ConfigurationError, match=r"'other' has no Cano; call init_app\(app\)"),
    ):
        cano_of(app).request_token()


def test_a_setting_that_was_changed_to_nonsense_is_seen(app: Flask) -> None:
    app.config["CANO_REQUEST_TIMEOUT"] = "soon"
    with (
        app.test_request_context(),
        pytest.raises(ConfigurationError, match="CANO_REQUEST_TIMEOUT must be seconds"),
    ):
        cano_of(app).request_token()


def test_it_ends_with_the_answer_even_if_a_client_keeps_the_context(app: Flask) -> None:
    """As tests do that look at `request` afterwards."""
    cano, tokens = cano_of(app), []

    @app.get("/quote")
    def view() -> str:
        tokens.append(cano.request_token())
        return "done"

    with app.test_client() as client:
        client.get("/quote")
        assert tokens[0].cancelled
        assert request.path == "/quote"
