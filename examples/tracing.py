"""Tracing: the spans of one run, with a retry, a split and spans of the tasks' own, as a tree.

`OpenTelemetryTraces` makes the spans; where they go is for the program to say. Here that is
the SDK's in-memory exporter; in a service it is an exporter to Jaeger, Tempo or the like. Whatever
a task opens itself is below its branch or attempt, on whatever thread it runs.

    pip install 'cano_sync[otel]' opentelemetry-sdk && python examples/tracing.py
"""

import time
from collections.abc import Sequence
from enum import Enum, auto
from functools import partial
from typing import Literal

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cano_sync import (
    CancellationToken,
    JoinConfig,
    JoinStrategy,
    MemoryStore,
    Store,
    TaskConfig,
    TaskContext,
    Workflow,
    abandoned_tasks,
    task,
)
from cano_sync.observe import OpenTelemetryTraces


class Quote(Enum):
    """The states."""

    LOAD = auto()
    ASK = auto()
    CHOOSE = auto()
    DONE = auto()


tracer = trace.get_tracer("shop")


def load(store: Store, context: TaskContext) -> Literal[Quote.ASK]:
    with tracer.start_as_current_span("SELECT order"):
        if context.attempt == 1:
            raise ConnectionError("the database is not there yet")
        store.put("order", {"sku": "A-17", "amount": 3})
    return Quote.ASK


def ask(price: float | None, seconds: float, store: Store, cancel: CancellationToken) -> float:
    with tracer.start_as_current_span("GET /offer"):
        cancel.sleep(seconds)  # stands for a call with timeout=cancel.remaining()
        if price is None:
            raise ValueError("not sold here")
        return price


def choose(store: Store) -> Literal[Quote.DONE]:
    store.put("best", min(store.get("offers", list)))
    return Quote.DONE


suppliers = [("swift", 9.5, 0.0), ("sold out", None, 0.0), ("glacial", 1.0, 60.0)]

workflow = (
    Workflow[Quote]()
    .register(Quote.LOAD, load, TaskConfig().with_fixed_retry(2, delay=0.01))
    .register_split(
        Quote.ASK,
        [task(name=name)(partial(ask, price, seconds)) for name, price, seconds in suppliers],
        JoinConfig(JoinStrategy.PARTIAL_TIMEOUT, Quote.CHOOSE, timeout=0.5, collect="offers"),
    )
    .register(Quote.CHOOSE, choose)
    .add_exit_state(Quote.DONE)
    .with_observer(OpenTelemetryTraces())
)

SHOWN = ("cano.task", "cano.attempt", "cano.outcome", "cano.split.verdict", "cano.exit_state")


def describe(span: ReadableSpan) -> str:
    facts = dict(span.attributes or {})
    text = ", ".join(str(facts[name]) for name in SHOWN if name in facts)
    if span.links:
        text += ", linked to the attempt before"
    return f"{text}: {span.status.description}" if span.status.description else text


def show(spans: Sequence[ReadableSpan], parent: int | None = None, indent: str = "") -> None:
    """Print the spans below this one; branches in the order of the split."""
    below = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
    below.sort(key=lambda span: str(dict(span.attributes or {}).get("cano.branch.index")))
    for span in below:
        print(f"{indent}{span.name:<{24 - len(indent)}} {describe(span)}".rstrip())
        show(spans, span.context.span_id, indent + "  ")


def main() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    with tracer.start_as_current_span("POST /quotes"):
        workflow.orchestrate(Quote.LOAD, store=MemoryStore())
    while abandoned_tasks():  # the glacial one is cancelled, and ends its own span
        time.sleep(0.001)
    show(sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0))


if __name__ == "__main__":
    main()
