"""Workflows on a timetable: every so often, at times of day, by cron expressions, by hand.

`cano_sync.scheduler.telemetry.FlowMetrics` needs the extra `otel`, and `Cron` the extra `cron`.
"""

from .at import At
from .backoff import Backoff
from .clock import Alarm, Clock, HandClock, Mailbox, SystemClock
from .cron import Cron
from .handles import Background, ByHand
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
    "ByHand",
    "Clock",
    "Cron",
    "Every",
    "FlowObserver",
    "FlowOptions",
    "FlowState",
    "FlowStatus",
    "HandClock",
    "LoggingFlowObserver",
    "Mailbox",
    "Manual",
    "Scheduler",
    "SystemClock",
    "Timetable",
)
