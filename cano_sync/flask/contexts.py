"""Flask's contexts on several threads: where one is at home, and a fresh one for each branch.

Flask keeps its contexts in `contextvars`, so a branch finds those of its view. What hangs on the
app context, as the session of Flask-SQLAlchemy does, would be one for all threads.
"""

from __future__ import annotations

__all__ = (
    "BranchContext",
    "Home",
    "RequestEndedError",
    "RequestState",
    "current_app_context",
    "is_at_home",
    "note_began",
    "note_ended",
    "note_left",
    "note_pushed",
    "request_state",
)

import threading
import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from flask import Flask, ctx, has_app_context
from flask import globals as flask_globals

from .. import CancellationToken, CanoError, TaskContext

# Flask 3.0 and 3.1 have a context for the app and one for the request. From 3.2 on there is one:
# an app context may have a request.
_requests: ContextVar[Any] | None = getattr(flask_globals, "_cv_request", None)
_app_context: Any = flask_globals.app_ctx

# Under these names things are kept at the contexts themselves, and go when they go.
_THREAD = "_cano_sync_thread"
_STATE = "_cano_sync_request"


class RequestEndedError(CanoError, RuntimeError):
    """Code of a branch or of a submitted run asked for `request` or `session` after the request.

    The answer was sent: what the two hold is of the past. Read what the code needs before, and put
    it into the store. (It is a `RuntimeError`, as what Flask raises where there is no request.)
    """


class RequestState:
    """What is known of one request; its branches share it. Safe from any thread.

    Attributes:
        is_over: whether it was torn down.
    """

    __slots__ = ("_began", "_lock", "_token", "is_over")

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = threading.Lock()  # guards that the token is made once, and not after the end
        self._token: CancellationToken | None = None
        self.is_over = False

    def token(self, limit: float | None) -> CancellationToken:
        """Its token, made at the first call.

        Args:
            limit: seconds from the beginning of the request; None for no limit.
        """
        with self._lock:
            self.check("the token of the request")
            if self._token is None:
                left = None if limit is None else self._began + limit - time.monotonic()
                self._token = CancellationToken(timeout=None if left is None else max(left, 0.0))
            return self._token

    @property
    def is_out_of_time(self) -> bool:
        """Whether its token has a deadline, and that has passed."""
        token = self._token
        return token is not None and token.remaining() == 0.0

    def end(self) -> None:
        """It is torn down: what was begun with its token, and still runs, shall end."""
        with self._lock:
            self.is_over = True
            token = self._token
        if token is not None:
            token.cancel("the request has ended")

    def check(self, what: str) -> None:
        """Raise `RequestEndedError` once it is over."""
        if self.is_over:
            raise RequestEndedError(
                f"{what} was asked for after the request had ended; what goes on after it, as a "
                "branch that was abandoned or a run that was submitted, must read what it needs "
                "before: put it into the store"
            )


# Where a context is at home.


def current_app_context() -> Any:
    """The current app context itself, or None."""
    return _app_context._get_current_object() if has_app_context() else None


def current_request_context() -> Any:
    """The current context that has a request, or None."""
    if _requests is not None:
        return _requests.get(None)
    context = current_app_context()
    return context if context is not None and context.has_request else None


def is_at_home(context: Any, task: TaskContext) -> bool:
    """Whether the calling thread is the one that has pushed this app context.

    Args:
        context: the app context.
        task: that of the task; decides where the context was pushed before `Cano` knew the app.
    """
    try:
        thread = vars(context)[_THREAD]
    except KeyError:
        return task.thread == "caller"
    return bool(thread == threading.get_ident())


# Receivers of Flask's signals and teardowns. They are functions of this module, and hold no app.


def note_pushed(app: Flask, **_: Any) -> None:
    """An app context was pushed on this thread."""
    vars(current_app_context())[_THREAD] = threading.get_ident()


def note_left(error: BaseException | None = None) -> None:
    """The current app context is torn down. (The system may give another thread this number.)"""
    vars(current_app_context())[_THREAD] = None


def note_began(app: Flask, **_: Any) -> None:
    """A request has begun: from now on its time runs."""
    request_state()


def note_ended(error: BaseException | None = None) -> None:
    """The current request is torn down."""
    state = request_state()
    if state is not None:
        state.end()


def request_state() -> RequestState | None:
    """That of the current request; None where there is no request."""
    context = current_request_context()
    return None if context is None else _state_of(context)


def _state_of(context: Any) -> RequestState:
    # One step, for threads that ask at the same time.
    state: RequestState = vars(context).setdefault(_STATE, RequestState())
    return state


# The contexts of a branch.


class Home:
    """What a branch takes along from the app context that it was handed over from.

    Attributes:
        context: that app context.
        values: what was in `g` at that moment.
    """

    __slots__ = ("context", "values")

    def __init__(self, context: Any) -> None:
        self.context = context
        self.values = dict(vars(context.g))


class BranchContext:
    """A fresh app context, in which `request`, `session` and `g` are those of home.

    `g` is a copy: what is put in stays here. Functions that Flask calls at its teardown find in `g`
    only what was put in here, so that they close nothing of home.
    """

    __slots__ = ("_context", "_inherited", "_request", "_token")

    def __init__(self, app: Flask, inherited: dict[str, Any]) -> None:
        home = current_request_context()
        has_request = home is not None and home.app is app
        self._inherited = inherited
        self._request: Any = None
        self._token: Token[Any] | None = None
        if _requests is None:
            self._context = _MergedContext(app, home) if has_request else app.app_context()
        else:
            self._context = app.app_context()
            if has_request:
                self._request = _BranchRequest(home)
        vars(self._context.g).update(inherited)

    def __enter__(self) -> None:
        if self._request is not None and _requests is not None:
            self._token = _requests.set(self._request)
        self._context.push()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        values = vars(self._context.g)
        for name, value in self._inherited.items():
            if values.get(name) is value:
                del values[name]
        try:
            self._context.pop(error)
        finally:
            if self._token is not None and _requests is not None:
                _requests.reset(self._token)


class _BranchRequest(ctx.RequestContext if _requests is not None else object):  # type: ignore[misc]
    """A view's request context as its branches see it: until the request has ended."""

    def __init__(self, home: Any) -> None:
        self.__dict__.update(vars(home), _cv_tokens=[])
        self._home = getattr(home, "_home", home)
        self._state = _state_of(home)
        self.__dict__[_STATE] = self._state

    @property
    def request(self) -> Any:
        self._state.check("request")
        return self._home.request

    @property
    def session(self) -> Any:
        self._state.check("session")
        return self._home.session

    def copy(self) -> Any:
        self._state.check("a copy of the request's context")
        return self._home.copy()


class _MergedContext(ctx.AppContext):  # pragma: no cover - the tests run with one Flask
    """The same from Flask 3.2 on: an app context of the branch's own, with a view's request.

    For its teardown it has no request: what is to be done at the request's end is done once.
    """

    def __init__(self, app: Flask, home: Any) -> None:
        super().__init__(app)
        self._home = getattr(home, "_home", home)
        self._state = _state_of(home)
        self.__dict__[_STATE] = self._state
        self.url_adapter = home.url_adapter
        self._after_request_functions = home._after_request_functions

    @property
    def has_request(self) -> bool:
        return True

    @property
    def request(self) -> Any:
        self._state.check("request")
        return self._home.request

    @property
    def session(self) -> Any:
        self._state.check("session")
        return self._home.session

    def _get_session(self) -> Any:
        self._state.check("session")
        return self._home._get_session()

    def copy(self) -> Any:
        self._state.check("a copy of the request's context")
        return self._home.copy()
