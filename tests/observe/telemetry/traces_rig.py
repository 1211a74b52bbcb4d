"""A real SDK with its in-memory exporter, and short ways to ask what it has got."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cano_sync.observe import OpenTelemetryTraces


class Rig:
    """An observer, a tracer for tasks, and the spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")
        self.observer = OpenTelemetryTraces(tracer_provider=self.provider)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """All, in the order in which they ended."""
        return self._exporter.get_finished_spans()

    def all(self, name: str) -> list[ReadableSpan]:
        """Those of this name, in the order in which they began."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        """The only one of this name."""
        (span,) = self.all(name)
        return span

    def parent(self, span: ReadableSpan) -> str | None:
        """The name of the span that this one is below."""
        if span.parent is None:
            return None
        (parent,) = [s for s in self.spans if s.context.span_id == span.parent.span_id]
        return parent.name

    def path(self, span: ReadableSpan) -> list[str]:
        """The names from the root to this one."""
        above = [s for s in self.spans if span.parent and s.context.span_id == span.parent.span_id]
        return [*(self.path(above[0]) if above else ()), span.name]

    def branch(self, index: int) -> ReadableSpan:
        """The span of the branch of this index."""
        (span,) = [s for s in self.spans if facts(s).get("cano.branch.index") == index]
        return span


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Its attributes."""
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> list[str]:
    """The names of its events."""
    return [event.name for event in span.events]


def outcomes(spans: Iterable[ReadableSpan]) -> list[Any]:
    """How they ended."""
    return [facts(span).get("cano.outcome") for span in spans]
