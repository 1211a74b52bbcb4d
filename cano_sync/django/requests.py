"""The token of a request: its view's time limit, and the end of what was started from it."""

from __future__ import annotations

__all__ = ("request_token",)

from typing import Any

from django.http import HttpRequest

from .. import CancellationToken, ConfigurationError
from .options import request_timeout

_NAME = "_cano_sync_token"


def request_token(request: Any) -> CancellationToken:
    """The token of this request, made at the first call; the same one afterwards.

    It is over after `settings.CANO_SYNC["REQUEST_TIMEOUT"]` seconds from that call on (without the
    setting it has no limit), and it is cancelled when Django closes the response: whatever was
    submitted with it ends then at the latest. Within a transaction, keep the run on the view's
    thread: `workflow.orchestrate(START, cancel=request_token(request), stay=True)`.

    Made by the thread that serves the request; the token itself is safe from any.

    Args:
        request: Django's `HttpRequest`, or what wraps it as that of Django REST framework does.

    Raises:
        ConfigurationError: the setting is no number of seconds above 0, or it is no request.

    Example::

        def quote(request):
            token = request_token(request)
            store = MemoryStore()
            QUOTES.orchestrate(Quote.ASK, store=store, cancel=token, stay=True)
            return JsonResponse({"best": store.get("best")})
    """
    request = getattr(request, "_request", request)
    if not isinstance(request, HttpRequest):
        raise ConfigurationError(f"request_token() takes the request of a view, not {request!r}")
    token: CancellationToken | None = getattr(request, _NAME, None)
    if token is None:
        token = CancellationToken(request_timeout())
        setattr(request, _NAME, token)
        # Django gives this method to the response, which calls it when it is closed, and does so
        # after the view: it finds ours.
        request.close = _Closing(token, request.close)
    return token


class _Closing:
    """The request's `close`, which ends its token, too."""

    def __init__(self, token: CancellationToken, close: Any) -> None:
        self._token = token
        self._close = close

    def __call__(self) -> None:
        try:
            self._token.cancel("the request was answered")
        finally:
            self._close()
