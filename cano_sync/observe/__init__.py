"""Seeing what runs do: observers, ready-made ones and the base class of your own.

`OpenTelemetryTraces` and `OpenTelemetryMetrics` need the extra `otel`:
`pip install 'cano_sync[otel]'`. Each is loaded when it is first asked for, and works without the
other; to have both, call `with_observer()` twice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._model.hooks import Observer
from .logs import LoggingObserver
from .recording import Attempt, JoinRecord, Note, Record, Recorder, Span, Visit
from .scope import RunFilter
from .status import Status

if TYPE_CHECKING:
    from .telemetry.metrics import OpenTelemetryMetrics as OpenTelemetryMetrics
    from .telemetry.traces import OpenTelemetryTraces as OpenTelemetryTraces

# Without what needs an extra: `import *` must work without it.
__all__ = (
    "Attempt",
    "JoinRecord",
    "LoggingObserver",
    "Note",
    "Observer",
    "Record",
    "Recorder",
    "RunFilter",
    "Span",
    "Status",
    "Visit",
)

_OTEL = {
    "OpenTelemetryMetrics": ".telemetry.metrics",
    "OpenTelemetryTraces": ".telemetry.traces",
}


def __getattr__(name: str) -> Any:
    """Load what needs the extra `otel`.

    Raises:
        ImportError: it is not installed.
    """
    if name not in _OTEL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(_OTEL[name], __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "opentelemetry":
            raise
        raise ImportError(
            f"{name} needs opentelemetry: pip install 'cano_sync[otel]'", name=__name__
        ) from error
    globals()[name] = value
    return value
