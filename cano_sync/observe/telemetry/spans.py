"""Open spans: where each is current, what is open below it, and what its failure leaves on it."""

from __future__ import annotations

__all__ = ("OpenSpan", "record_failure")

from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from opentelemetry.context import Context, attach, create_key, get_current, get_value, set_value
from opentelemetry.trace import Span, SpanContext, Status, StatusCode, set_span_in_context

from ..._base.text import error_text
from ...errors import NodeExecutionError, PreparationError, TaskExecutionError

_CURRENT = create_key("cano_sync.open_span")


@dataclass(slots=True, weakref_slot=True, eq=False)
class OpenSpan:
    """A span that is open, and those that are open below it. Safe from any thread, without a lock.

    Attributes:
        span: the span itself.
        state: what it is a visit of, for that of a state.
        is_shared: whether another `OpenSpan` owns the span and ends it.
        is_recorded: whether its exception has been recorded, on this span or one below.
        previous: the attempt that came before the next one.
    """

    span: Span
    _: KW_ONLY
    state: Any = None
    is_shared: bool = False
    is_recorded: bool = False
    previous: SpanContext | None = None
    _below: dict[Any, OpenSpan] = field(default_factory=dict)
    _is_closed: bool = False
    _before: Context | None = None

    def enter(self) -> None:
        """Make it the current one in the context that this is called in, which keeps it alive."""
        self._before = get_current()
        attach(set_value(_CURRENT, self, set_span_in_context(self.span)))

    def leave(self) -> None:
        """Make that which was before the current one again, where this one is current.

        It is not where another thread reports the end of an abandoned task. Nothing is detached:
        a token is of use only in the context that it was made in, and nobody can ask for that.
        """
        before, self._before = self._before, None
        if before is not None and get_value(_CURRENT) is self:
            attach(before)

    def get(self, key: object) -> OpenSpan | None:
        """What is open below, under this key."""
        return self._below.get(key)

    def put(self, key: object, opened: OpenSpan) -> None:
        """Something is open below from now on; if this is closed by now, not for long."""
        self._below[key] = opened
        # First write, then look: close() does the same the other way.
        if self._is_closed and self._below.pop(key, None) is opened:
            opened.close()

    def take(self, key: object) -> OpenSpan | None:
        """What was open below; the caller closes it. Of two that ask for it one gets it."""
        return self._below.pop(key, None)

    def close(self) -> None:
        """End the span, after what is still open below."""
        self._is_closed = True
        for key in tuple(self._below):
            opened = self._below.pop(key, None)
            if opened is not None:
                opened.close()
        if not self.is_shared:
            self.span.end()


def record_failure(span: Span, error: BaseException | None, *, with_event: bool) -> None:
    """Give the span the status of a failure, and the exception too `with_event`.

    There is no error where a task returned what its config retries on.
    """
    if error is None:
        span.set_status(Status(StatusCode.ERROR, "it returned what its config retries on"))
        return
    if isinstance(error, TaskExecutionError | NodeExecutionError | PreparationError):
        error = error.__cause__ or error  # as its author knows it
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    span.set_status(Status(StatusCode.ERROR, error_text(error)))
    span.set_attribute("error.type", module + kind.__qualname__)
    if with_event:
        with suppress(Exception):  # its own text cannot be had
            span.record_exception(error)
