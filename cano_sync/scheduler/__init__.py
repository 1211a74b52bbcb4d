"""Workflows on a timetable: every so often, at times of day, by cron expressions, by hand."""

from .backoff import Backoff
from .clock import Alarm, Clock, HandClock, Mailbox, SystemClock
from .options import FlowOptions
from .scheduler import Scheduler
from .status import FlowState, FlowStatus
from .ways import Background, ByHand

__all__ = (
    "Alarm",
    "Background",
    "Backoff",
    "ByHand",
    "Clock",
    "FlowOptions",
    "FlowState",
    "FlowStatus",
    "HandClock",
    "Mailbox",
    "Scheduler",
    "SystemClock",
)
