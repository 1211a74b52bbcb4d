"""What a client gets where a workflow was not done in time, or was cancelled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask
from werkzeug.exceptions import HTTPException

from cano_sync import (
    CancellationToken,
    CanoError,
    SplitTimeoutError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowTimeoutError,
)
from cano_sync.flask import Cano
from tests.kit import SOON, Step, boom, single, split

JSON = {"Accept": "application/json"}


def wait(_: Any, cancel: CancellationToken) -> None:
    cancel.sleep(SOON)


def too_late() -> None:
    single(wait).with_timeout(0.01).orchestrate(Step.START)


def split_too_late() -> None:
    split([wait], timeout=0.01).orchestrate(Step.START)


def cancelled() -> None:
    token = CancellationToken()
    token.cancel("the secret reason")
    single(wait).orchestrate(Step.START, cancel=token)


def failed() -> None:
    single(boom).orchestrate(Step.START)


def visit(app: Flask, view: Callable[[], Any], **headers: str) -> Any:
    app.add_url_rule("/", view_func=lambda: view() or "done", endpoint="view")
    return app.test_client().get("/", headers=headers)


@pytest.mark.parametrize(
    ("view", "code", "text"),
    [
        (too_late, 504, "This took longer than it may."),
        (split_too_late, 504, "This took longer than it may."),
        (cancelled, 503, "This was stopped before it was done. Try again later."),
    ],
)
@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "application/json"])
def test_an_error_has_its_code_and_keeps_its_details(
    app: Flask, caplog, view: Any, code: int, text: str, accept: str | None
) -> None:
    with caplog.at_level(logging.WARNING):
        response = visit(app, view, **({} if accept is None else {"Accept": accept}))
    assert response.status_code == code
    if accept == "application/json":
        assert response.json == {"error": text}
    else:
        assert response.content_type == "text/plain; charset=utf-8"
        assert response.text == f"{text}\n"
    assert "Step.START" in caplog.text  # the details are for who reads the log
    assert "Step.START" not in response.text


def test_the_end_of_the_requests_own_time_is_a_timeout(app: Flask) -> None:
    app.config["CANO_REQUEST_TIMEOUT"] = 0.01
    cano = app.extensions["cano_sync"]

    def view() -> None:
        single(wait).orchestrate(Step.START, cancel=cano.request_token(), stay=True)

    assert visit(app, view).status_code == 504


def test_other_errors_are_left_to_the_app(app: Flask) -> None:
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert visit(app, failed).status_code == 500


def test_it_can_be_switched_off() -> None:
    app = Flask("shop")
    app.config.update(CANO_ERROR_RESPONSES=False, TESTING=True)
    Cano(app)
    with pytest.raises(WorkflowTimeoutError):
        visit(app, too_late)


# The user's own handlers go first.


@pytest.mark.parametrize(
    "kind",
    [WorkflowTimeoutError, WorkflowError, CanoError, TimeoutError, OSError, Exception],
)
@pytest.mark.parametrize("is_earlier", [True, False])
def test_a_handler_of_the_app_goes_first(kind: type[Exception], is_earlier: bool) -> None:
    app = Flask("shop")
    cano = Cano()
    if not is_earlier:
        cano.init_app(app)

    @app.errorhandler(kind)
    def handle(error: Exception) -> Any:
        assert isinstance(error, WorkflowTimeoutError)
        return "the app's", 418

    if is_earlier:
        cano.init_app(app)
    response = visit(app, too_late)
    assert (response.text, response.status_code) == ("the app's", 418)


@pytest.mark.parametrize("kind", [504, HTTPException])
def test_a_page_of_the_app_is_taken(app: Flask, kind: Any) -> None:
    @app.errorhandler(kind)
    def page(error: HTTPException) -> Any:
        return f"the app's page: {error.description}", error.code or 500

    response = visit(app, too_late)
    assert response.text == "the app's page: This took longer than it may."
    assert response.status_code == 504


@pytest.mark.parametrize("kind", [SplitTimeoutError, Exception, 504])
def test_a_handler_of_a_blueprint_goes_first(app: Flask, kind: Any) -> None:
    shop = Blueprint("shop", "shop")
    shop.errorhandler(kind)(lambda error: ("the blueprint's", 418))

    @shop.get("/")
    def view() -> Any:
        split_too_late()

    app.register_blueprint(shop)
    response = app.test_client().get("/")
    assert (response.text, response.status_code) == ("the blueprint's", 418)


def test_a_kind_of_cancellation_has_its_code(app: Flask) -> None:
    class Refused(WorkflowCancelledError):
        pass

    def view() -> None:
        raise Refused("no more today")

    assert visit(app, view, **JSON).status_code == 503
