"""The token of a request, in views that Django's test client asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings

from cano_sync import (
    CancellationToken,
    ConfigurationError,
    WorkflowCancelledError,
    WorkflowTimeoutError,
)
from cano_sync.django import request_token
from tests.django_wing.urls import VIEW
from tests.kit import SOON, Step, single


@pytest.fixture
def ask() -> Iterator[Any]:
    """`ask(view)` asks this view, and returns the response."""

    def ask(view: Any) -> Any:
        VIEW.append(view)
        return Client().get("/")

    yield ask
    VIEW.clear()


def test_it_is_made_once_a_request_and_ends_with_the_response(ask: Any) -> None:
    tokens: list[CancellationToken] = []

    def view(request: Any) -> HttpResponse:
        tokens.extend([request_token(request), request_token(request)])
        assert not tokens[-1].cancelled
        assert tokens[-1].deadline is None
        return HttpResponse()

    ask(view)
    ask(view)
    assert tokens[0] is tokens[1] is not tokens[2]
    assert [token.reason for token in tokens] == ["the request was answered"] * 4


def test_what_was_submitted_with_it_ends_with_the_response(ask: Any) -> None:
    runs: list[Future[Any]] = []

    def waits(store: Any, cancel: CancellationToken) -> Step:
        cancel.sleep(SOON)
        return Step.DONE

    def view(request: Any) -> HttpResponse:
        runs.append(single(waits).submit(Step.START, cancel=request_token(request)))
        return HttpResponse()

    ask(view)
    with pytest.raises(WorkflowCancelledError, match="the request was answered"):
        runs[0].result(SOON)


def test_of_a_stream_it_ends_with_the_stream(ask: Any) -> None:
    tokens: list[CancellationToken] = []

    def view(request: Any) -> StreamingHttpResponse:
        tokens.append(request_token(request))
        return StreamingHttpResponse(str(tokens[0].cancelled) for _ in range(2))

    response = ask(view)
    assert list(response.streaming_content) == [b"False"] * 2
    response.close()
    assert tokens[0].cancelled


@override_settings(CANO_SYNC={"REQUEST_TIMEOUT": 0.05})
def test_it_has_the_time_of_the_setting_and_a_run_keeps_it_on_the_views_thread(ask: Any) -> None:
    threads: list[int] = []

    def waits(store: Any, cancel: CancellationToken) -> Step:
        threads.append(threading.get_ident())
        cancel.sleep(SOON)
        return Step.DONE

    def view(request: Any) -> HttpResponse:
        token = request_token(request)
        assert 0 < token.remaining(SOON) <= 0.05
        try:
            single(waits).orchestrate(Step.START, cancel=token, stay=True)
        except (WorkflowTimeoutError, WorkflowCancelledError) as error:
            return HttpResponse(str(error), status=504)
        return HttpResponse()

    response = ask(view)
    assert response.status_code == 504
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("wrong", [0, -1, "5", True])
def test_a_wrong_time_is_said(wrong: Any) -> None:
    setting = override_settings(CANO_SYNC={"REQUEST_TIMEOUT": wrong})
    with setting, pytest.raises(ConfigurationError, match="REQUEST_TIMEOUT"):
        request_token(RequestFactory().get("/"))


def test_a_wrapped_request_has_that_of_the_inner_one() -> None:
    """As Django REST framework wraps it."""

    class Wrapper:
        def __init__(self, request: Any) -> None:
            self._request = request

    request = RequestFactory().get("/")
    assert request_token(Wrapper(request)) is request_token(request)
