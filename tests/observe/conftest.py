"""What all tests of observers must keep: nothing is said by OpenTelemetry or about an observer."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from cano_sync import abandoned_tasks
from tests.conftest import Eventually
from tests.observe.telemetry.traces_rig import Rig


@pytest.fixture
def rig(caplog: pytest.LogCaptureFixture, eventually: Eventually) -> Iterator[Rig]:
    """An observer with an SDK; fails if a context was detached elsewhere, or a hook raised."""
    rig = Rig()
    yield rig
    eventually(lambda: abandoned_tasks() == 0)
    rig.provider.shutdown()
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    said = [r.getMessage() for r in records if r.levelno >= logging.WARNING]
    assert [
        text for text in said if "detach" in text or "ended span" in text or "raised" in text
    ] == []
