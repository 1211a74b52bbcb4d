"""The book is whole: every public name and every example has its place, and the pages fit."""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from types import ModuleType

import pytest

from tests.browser import Browser, needs_browser
from tests.docs import pages

HTML = pages.BOOK / "_build" / "html"
PUBLIC = (
    "cano_sync",
    "cano_sync.errors",
    "cano_sync.django",
    "cano_sync.django.testing",
    "cano_sync.observe",
    "cano_sync.checkpoints",
    "cano_sync.checkpoints.testing",
    "cano_sync.scheduler",
    "cano_sync.scheduler.telemetry",
    "cano_sync.testing",
    "cano_sync.diagram",
    "cano_sync.flask",
    "cano_sync.sqlalchemy",
)

needs_build = pytest.mark.skipif(
    not (HTML / "objects.inv").exists(),
    reason="the book is not built: sphinx-build -W --keep-going -n docs docs/_build/html",
)


def test_every_example_has_a_page() -> None:
    folder = pages.ROOT / "examples"
    examples = {path.name.removesuffix(".out.txt") for path in folder.glob("*.out.txt")}
    shown = {path.stem for path in (pages.BOOK / "examples").glob("*.md")} - {"index"}
    listed = set(re.findall(r"\]\((\w+)\.md\)", (pages.BOOK / "examples/index.md").read_text()))
    assert examples == shown == listed


def test_no_page_names_a_machine() -> None:
    """Neither a path of one, nor a private index of packages."""
    pattern = re.compile(r"/(home|root|work|tmp|opt)/|index-url|://(?:localhost|127\.)")
    found = [path.name for path in pages.PAGES if pattern.search(path.read_text(encoding="utf-8"))]
    assert found == []


# What follows looks at the built pages.


def documented() -> Iterator[str]:
    """The names of Python objects in the reference, from the list that Sphinx writes."""
    content = (HTML / "objects.inv").read_bytes().split(b"\n", 4)[4]
    for line in zlib.decompress(content).decode().splitlines():
        name, role, *_ = line.split(" ")
        if role.startswith("py:"):
            yield name


def public_names(module: ModuleType) -> list[str]:
    """What a module offers, with what needs an extra."""
    return [*module.__all__, *getattr(module, "_EXTRAS", ())]


def is_the_same(name: str, value: object) -> bool:
    """Whether a documented name is this very object."""
    for door in sorted(PUBLIC, key=len, reverse=True):
        if name.startswith(f"{door}."):
            path = name.removeprefix(f"{door}.").split(".")
            try:
                return reduce(getattr, path, importlib.import_module(door)) is value
            except AttributeError:
                return False
    return False


@needs_build
def test_every_public_name_is_in_the_reference() -> None:
    names = set(documented())
    last = {name.rpartition(".")[2]: name for name in sorted(names, key=len, reverse=True)}
    missing = [
        f"{door}.{name}"
        for door in PUBLIC
        for name in public_names(importlib.import_module(door))
        if f"{door}.{name}" not in names
        and not is_the_same(last.get(name, ""), getattr(importlib.import_module(door), name))
    ]
    assert missing == []


@needs_browser
@needs_build
def test_no_page_is_wider_than_a_telephone(tmp_path: Path) -> None:
    """Code and tables may be moved within their frames; a page may not."""
    too_wide = {}
    with Browser(tmp_path) as browser:
        browser.resize(390)
        for page in sorted(HTML.rglob("*.html")):
            browser.open(page)
            script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            if over := browser.run(script):
                too_wide[page.relative_to(HTML).as_posix()] = over
            assert browser.errors == []
    assert too_wide == {}
