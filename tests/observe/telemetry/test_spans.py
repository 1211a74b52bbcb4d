"""Open spans: whoever comes last ends what is below, and each span ends once."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
from opentelemetry import trace

from cano_sync import ConfigurationError
from cano_sync.observe import OpenTelemetryMetrics, OpenTelemetryTraces
from cano_sync.observe.telemetry.spans import OpenSpan
from tests.observe.telemetry.traces_rig import Rig


def opened(rig: Rig, name: str) -> OpenSpan:
    return OpenSpan(rig.tracer.start_span(name))


def test_a_span_that_is_closed_ends_what_is_open_below_it_first(rig: Rig) -> None:
    run, state, branch = opened(rig, "run"), opened(rig, "state"), opened(rig, "branch")
    run.put("state", state)
    state.put(0, branch)
    run.close()
    assert [span.name for span in rig.spans] == ["branch", "state", "run"]


def test_what_comes_below_a_closed_span_ends_at_once(rig: Rig) -> None:
    """Its thread was left behind, and was already on its way."""
    state, late = opened(rig, "state"), opened(rig, "late")
    state.close()
    state.put(0, late)
    assert [span.name for span in rig.spans] == ["state", "late"]
    assert state.take(0) is None


def test_a_span_that_is_left_elsewhere_leaves_what_is_current_there(rig: Rig) -> None:
    task = opened(rig, "task")
    contextvars.copy_context().run(task.enter)
    with rig.tracer.start_as_current_span("other") as other:
        task.leave()
        assert trace.get_current_span() is other
    task.close()


def test_a_span_that_is_left_where_it_was_entered_gives_back_what_was_before(rig: Rig) -> None:
    def enter_and_leave() -> None:
        with rig.tracer.start_as_current_span("outer") as outer:
            task = opened(rig, "task")
            task.enter()
            assert trace.get_current_span() is task.span
            task.leave()
            assert trace.get_current_span() is outer
            task.close()

    contextvars.copy_context().run(enter_and_leave)


@pytest.mark.parametrize("kind", [OpenTelemetryTraces, OpenTelemetryMetrics])
@pytest.mark.parametrize("name", ["", 7, ["nightly"]])
def test_a_name_is_some_text(kind: Any, name: object) -> None:
    with pytest.raises(ConfigurationError, match="name is what the workflow is called"):
        kind(name=name)
