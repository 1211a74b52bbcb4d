"""Metrics: what Prometheus sees of a process that has run some workflows, by a real scrape.

`OpenTelemetryMetrics` keeps the figures, the SDK collects them, and its reader for Prometheus
shows them on a port. One observer serves all workflows; each is labelled by its enum of states.

    pip install 'cano_sync[otel]' opentelemetry-exporter-prometheus && python examples/metrics.py
"""

import time
from enum import Enum, auto
from typing import Literal
from urllib.request import urlopen

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

from cano_sync import (
    CancellationToken,
    CanoError,
    JoinConfig,
    JoinStrategy,
    TaskConfig,
    TaskContext,
    Workflow,
    abandoned_tasks,
)
from cano_sync.observe import OpenTelemetryMetrics

provider = MeterProvider([PrometheusMetricReader(scope_info_enabled=False)])
observer = OpenTelemetryMetrics(meter_provider=provider)


class Mirror(Enum):
    """Asks two mirrors, and takes what the first one says."""

    ASK = auto()
    DONE = auto()


class Bill(Enum):
    """Writes a bill; the printer needs a second attempt."""

    PRINT = auto()
    DONE = auto()


class Report(Enum):
    """Takes too long."""

    WRITE = auto()
    DONE = auto()


def near() -> str:
    return "near"


def far(store: object, cancel: CancellationToken) -> str:
    cancel.sleep(60)
    return "far"


def print_bill(store: object, context: TaskContext) -> Literal[Bill.DONE]:
    if context.attempt == 1:
        raise OSError("out of paper")
    return Bill.DONE


def write_report(store: object, cancel: CancellationToken) -> Literal[Report.DONE]:
    cancel.sleep(60)
    return Report.DONE


mirror = (
    Workflow[Mirror]()
    .register_split(Mirror.ASK, [far, near], JoinConfig(JoinStrategy.ANY, Mirror.DONE))
    .add_exit_state(Mirror.DONE)
    .with_observer(observer)
)
bill = (
    Workflow[Bill]()
    .register(Bill.PRINT, print_bill, TaskConfig().with_fixed_retry(2, delay=0))
    .add_exit_state(Bill.DONE)
    .with_observer(observer)
)
report = (
    Workflow[Report]()
    .register(Report.WRITE, write_report)
    .add_exit_state(Report.DONE)
    .with_timeout(0.05)
    .with_observer(observer)
)

SHOWN = ("cano_runs_total", "cano_retries", "cano_branches", "cano_tasks", "cano_pool_jobs")


def main() -> None:
    for _ in range(3):
        mirror.orchestrate(Mirror.ASK)
        bill.orchestrate(Bill.PRINT)
    try:
        report.orchestrate(Report.WRITE)
    except CanoError as error:
        print(f"{type(error).__name__}: {error}\n")
    while abandoned_tasks():  # they are cancelled, and return at once
        time.sleep(0.001)

    server, thread = start_http_server(0, addr="127.0.0.1")
    try:
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    for line in sorted(lines):
        if line.startswith(SHOWN) or line.startswith("cano_run_duration_seconds_count"):
            print(line)
    provider.shutdown()


if __name__ == "__main__":
    main()
