"""What `cano_sync.observe` shows, with the extra and without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import cano_sync
from cano_sync import observe

ROOT = Path(cano_sync.__file__).parent.parent


def run(source: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(source)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout


WITHOUT_OTEL = """
    import sys
    sys.modules["opentelemetry"] = None  # as if it were not installed
"""


def test_importing_it_loads_no_extra() -> None:
    loaded = run("import sys, cano_sync.observe; print('opentelemetry' in sys.modules)")
    assert loaded == "False\n"


def test_all_but_what_needs_the_extra_works_without_it() -> None:
    shown = run(WITHOUT_OTEL + "    from cano_sync.observe import *; print(LoggingObserver())")
    assert shown == "LoggingObserver('cano_sync')\n"


@pytest.mark.parametrize("name", ["OpenTelemetryMetrics", "OpenTelemetryTraces"])
def test_what_needs_the_extra_says_what_to_install(name: str) -> None:
    script = f"""
    try:
        from cano_sync.observe import {name}
    except ImportError as error:
        print(error)
    """
    assert run(WITHOUT_OTEL + script) == (
        f"{name} needs opentelemetry: pip install 'cano_sync[otel]'\n"
    )


def test_a_module_that_is_missing_inside_the_extra_is_named_itself() -> None:
    script = """
    import sys
    sys.modules["cano_sync.observe.telemetry.traces"] = None
    try:
        from cano_sync.observe import OpenTelemetryTraces
    except ModuleNotFoundError as error:
        print(error.name)
    """
    assert run(script) == "cano_sync.observe.telemetry.traces\n"


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("OpenTelemetryMetrics", "cano_sync.observe.telemetry.traces"),
        ("OpenTelemetryTraces", "cano_sync.observe.telemetry.metrics"),
    ],
)
def test_traces_and_metrics_are_loaded_each_alone(name: str, other: str) -> None:
    script = f"import sys; from cano_sync.observe import {name}; print({other!r} in sys.modules)"
    assert run(script) == "False\n"


def test_it_is_found_once_and_kept() -> None:
    assert observe.OpenTelemetryTraces is vars(observe)["OpenTelemetryTraces"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Recoder'"):
        observe.Recoder  # noqa: B018


@pytest.mark.parametrize("name", ["OpenTelemetryMetrics", "OpenTelemetryTraces"])
def test_the_api_alone_is_enough(name: str) -> None:
    """The SDK is for programs, not for libraries."""
    shown = run(f"""
    import sys
    sys.modules["opentelemetry.sdk"] = None
    from cano_sync import Workflow
    from cano_sync.observe import {name}
    workflow = Workflow().register("A", lambda: "B").add_exit_state("B")
    print(workflow.with_observer({name}()).orchestrate("A"))
    """)
    assert shown == "B\n"
