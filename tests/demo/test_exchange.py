"""The ad exchange as part of the package; what can happen in it is in tests/examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MEASURED

ROOT = Path(__file__).parents[2]


def held(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, **MEASURED, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-W", "error", "-m", "cano_sync.demo", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
        cwd=folder,
        check=False,
    )


def test_it_runs_from_anywhere(tmp_path: Path) -> None:
    done = held("--pace", "6", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "steady wins and pays 3.70 USD" in done.stdout
    assert list(tmp_path.iterdir()) == []  # its records were thrown away


@pytest.mark.parametrize(
    ("broken", "states"),
    [
        pytest.param(
            "brisk=garbage", ["TRACK_RESULTS", "BUILD_RESPONSE"], marks=pytest.mark.servers
        ),
        ("quality=500", ["ERROR_TRACKING", "NO_FILL"]),
    ],
)
def test_it_can_be_broken(tmp_path: Path, broken: str, states: list[str]) -> None:
    done = held("--pace", "6", "--json", "--break", broken, folder=tmp_path)
    report: dict[str, Any] = json.loads(done.stdout)
    assert [state["name"] for state in report["states"]][-2:] == states


def test_a_request_that_is_none_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text("[]")
    done = held("--json", "--request", "request.json", folder=tmp_path)
    assert json.loads(done.stdout)["state"] == "REJECTED"


def test_a_folder_that_cannot_be_used_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = held("--records", "file", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cano_sync.demo: the exchange could not open: ")
