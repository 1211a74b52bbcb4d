"""Workflows on a timetable: every so often, at times of day, by cron expressions, by hand.

For tests of a timetable there are a clock and a start by hand in `cano_sync.testing`.
`cano_sync.scheduler.telemetry.FlowMetrics` needs the extra `otel`, and `Cron` the extra `cron`.
"""

from .at import At
from .backoff import Backoff
from .clock import Alarm, Clock, Mailbox, SystemClock
from .cron import Cron
from .handles import Background
from .log import LoggingFlowObserver
from .observer import FlowObserver
from .options import FlowOptions
from .scheduler import Scheduler
from .status import FlowState, FlowStatus
from .timetable import Every, Manual, Timetable

__all__ = (
    "Alarm",
    "At",
    "Background",
    "Backoff",
    "Clock",
    "Cron",
    "Every",
    "FlowObserver",
    "FlowOptions",
    "FlowState",
    "FlowStatus",
    "LoggingFlowObserver",
    "Mailbox",
    "Manual",
    "Scheduler",
    "SystemClock",
    "Timetable",
)
