"""The README's pictures can be made again, and need nothing that a reader has not got."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def check(picture: Path, *names: str) -> None:
    text = picture.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    for name in ("GATHER_CONTEXT", "COMPLETE", "user", "geo", *names):
        assert name in text
    assert not re.findall(r'(?:href|src)="|url\(["\']?[^#"\']|@import|@font-face', text)


@pytest.mark.parametrize("name", ["timeline.svg", "diagram.svg"])
def test_the_pictures_are_there_and_whole(name: str) -> None:
    check(PICTURES / name, "REQUEST_BIDS")


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz (dot) is not on the path")
def test_they_can_be_made_again(tmp_path: Path) -> None:
    """How far the auction in them gets depends on how busy this machine is."""
    subprocess.run([sys.executable, PICTURES / "make.py", tmp_path], check=True, timeout=50)
    for name in ("timeline.svg", "diagram.svg"):
        check(tmp_path / name)
