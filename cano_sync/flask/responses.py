"""What a client gets where a workflow was not done in time, or was cancelled."""

from __future__ import annotations

__all__ = ("add_responses",)

from collections.abc import Callable
from typing import Any

from flask import Flask, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import GatewayTimeout, HTTPException, ServiceUnavailable

from .. import (
    CanoError,
    DrainingError,
    SplitTimeoutError,
    WorkflowCancelledError,
    WorkflowTimeoutError,
)
from .contexts import request_state

Kind = type[HTTPException]

# By the kind of error. What the client reads says nothing of states, tasks and suppliers.
RESPONSES: dict[type[CanoError], Kind] = {
    WorkflowTimeoutError: GatewayTimeout,
    SplitTimeoutError: GatewayTimeout,
    WorkflowCancelledError: ServiceUnavailable,
    DrainingError: ServiceUnavailable,
}
TEXTS: dict[Kind, str] = {
    GatewayTimeout: "This took longer than it may.",
    ServiceUnavailable: "This was stopped before it was done. Try again later.",
}
# Text where the client takes anything, or does not say; JSON where it says that it prefers that.
FORMATS = ("text/plain", "text/html", "application/json")


def add_responses(app: Flask) -> None:
    """Let the app answer 504 and 503, but for errors that it has handlers for."""
    taken = app.error_handler_spec[None][None]
    for kind in RESPONSES:
        if kind not in taken:
            app.register_error_handler(kind, _respond)


def _respond(error: CanoError) -> ResponseReturnValue:
    # Flask takes the handler of the class that is nearest: this one, even where the user has one
    # for all `TimeoutError`s, or for `Exception`.
    users = _users_handler(type(error), None)
    if users is not None:
        return _call(users, error)
    kind = _kind_of(error)
    answer = kind(TEXTS[kind])
    current_app.logger.warning("%s, as a workflow ended early: %s", answer.name, error)
    page = _users_handler(kind, answer.code)
    if page is not None:
        return _call(page, answer)
    code = answer.code or 500
    if request.accept_mimetypes.best_match(FORMATS) == FORMATS[-1]:
        return jsonify(error=TEXTS[kind]), code
    return f"{TEXTS[kind]}\n", code, {"Content-Type": "text/plain; charset=utf-8"}


def _kind_of(error: CanoError) -> Kind:
    state = request_state()
    if isinstance(error, WorkflowCancelledError) and state is not None and state.is_out_of_time:
        return GatewayTimeout  # it was the request's own token
    return next(RESPONSES[kind] for kind in type(error).__mro__ if kind in RESPONSES)


def _users_handler(kind: type[Exception], code: int | None) -> Callable[[Any], Any] | None:
    """The handler that Flask would take if ours were not there."""
    for key in (code, None) if code is not None else (None,):
        for name in (*request.blueprints, None):
            handlers = current_app.error_handler_spec[name][key]
            for base in kind.__mro__:
                handler = handlers.get(base)
                if handler is not None and handler is not _respond:
                    return handler
    return None


def _call(handler: Callable[[Any], Any], error: Exception) -> ResponseReturnValue:
    response: ResponseReturnValue = current_app.ensure_sync(handler)(error)
    return response
