"""A seed gives one run: again and again, on every Python, whatever the hashes' seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tenacity

from tests.testing_wing import determinism

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")


def other_python(version: str) -> str | None:
    """The interpreter of this version: one on the path, or one of pyenv's."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*map(str, sorted(root.glob(f"{version}.*/bin/python"))), f"python{version}"]
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is not None:
            shown = subprocess.run([found, "--version"], capture_output=True, text=True)
            if shown.stdout.startswith(f"Python {version}."):
                return found
    return None


def hash_of(python: str, seeds: int, repeats: int, *, hash_seed: int) -> str:
    # The two libraries that are needed are Python alone, and do for every version.
    libraries = str(Path(tenacity.__file__).parents[1])
    ended = subprocess.run(
        [python, "-X", "faulthandler", determinism.__file__, str(seeds), str(repeats)],
        capture_output=True,
        text=True,
        timeout=600,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), libraries]),
            "PYTHONHASHSEED": str(hash_seed),
        },
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_seed_gives_one_run_whenever_it_is_repeated() -> None:
    """With the garbage collector and without."""
    determinism.main(seeds=50, repeats=10)


def test_a_seed_gives_one_run_whatever_the_seed_of_the_hashes() -> None:
    hashes = {hash_of(sys.executable, 50, 1, hash_seed=seed) for seed in (0, 1)}
    assert hashes == {determinism.main(50, 1) + "\n"}


@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fifth", range(5))
def test_a_thousand_repeats_of_fifty_seeds_give_one_run_each(fifth: int) -> None:
    """In five parts, all of which give the same hash as every other."""
    assert determinism.main(seeds=50, repeats=200) == determinism.main(seeds=50, repeats=1)


@pytest.mark.servers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_seed_gives_one_run_on_every_python(version: str) -> None:
    python = other_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    hashes = {hash_of(python, 50, 3, hash_seed=seed) for seed in range(4)}
    assert hashes == {determinism.main(50, 1) + "\n"}
