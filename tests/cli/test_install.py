"""A wheel, installed into an environment of its own, far from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from .test_interrupted import PRESSES_CTRL_C

ROOT = Path(__file__).parents[2]
PACKED = (
    "cano_sync",
    "cano_sync_command.py",
    "pyproject.toml",
    "setup.cfg",
    "README.md",
    "LICENSE",
)

# It is built and installed by pip, which may have to fetch packages, and takes its time.
pytestmark = [pytest.mark.timeout(300), pytest.mark.servers]


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    try:
        pip("download", "--no-deps", "-d", folder / "probe", "tenacity", "setuptools>=77")
    except AssertionError as error:
        pytest.skip(f"pip has no access to packages: {str(error).splitlines()[-1]}")
    source = folder / "source"
    source.mkdir()
    for name in PACKED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip("wheel", "--no-deps", "-w", folder / "dist", source)
    (built,) = (folder / "dist").glob("*.whl")
    return built


class Installed:
    """An environment with the wheel in it."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        venv.create(folder, with_pip=False)  # ours will do, and takes no time to install
        self._folder = folder
        pip("--python", folder / "bin" / "python", "install", "--no-compile", f"{wheel}{extra}")

    def run(
        self, program: str, *arguments: str, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self._folder / "bin" / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, **settings},
            cwd=self._folder,
            timeout=50,
        )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("plain"), wheel, "")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    return Installed(tmp_path_factory.mktemp("full"), wheel, "[cli]")


def test_the_demo_runs_after_a_plain_install(plain: Installed) -> None:
    done = plain.run("python", "-m", "cano_sync.demo", "--pace", "6")
    assert (done.returncode, done.stderr) == (0, "")
    assert "steady wins and pays 3.70 USD" in done.stdout


def test_the_command_says_what_it_needs_after_a_plain_install(plain: Installed) -> None:
    done = plain.run("cano-sync", "demo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cano-sync: the command line needs click: pip install 'cano_sync[cli]'\n"


def test_with_the_extra_the_command_runs_the_demo(full: Installed) -> None:
    done = full.run("cano-sync", "demo", "--pace", "6")
    assert (done.returncode, done.stderr) == (0, "")
    assert "steady wins and pays 3.70 USD" in done.stdout


def test_with_the_extra_it_knows_its_version(full: Installed) -> None:
    done = full.run("cano-sync", "--version")
    assert (done.returncode, done.stdout) == (0, "cano-sync 0.1.0\n")


def test_ctrl_c_while_the_installed_script_is_loading_is_quiet(full: Installed, tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(PRESSES_CTRL_C)
    settings = {"PYTHONPATH": str(tmp_path), "WHILE_LOADING": "cano_sync._engine.split"}
    done = full.run("cano-sync", "--version", **settings)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
