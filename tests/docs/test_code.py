"""The code of the book and of the README does what stands beside it.

The Python blocks of a page run one after the other in one namespace, in a folder of their own. The
`text` block right behind one is what it prints, where `...` stands for any text. A test function
that a page shows is called. What else a page may say of a block, by the option `class`:

- `not-run`: it is to be looked at, and only compiled; for what would listen to a port or wait.
- `other-side`: another library's way, on the pages of those who come from there. It runs in a
  namespace of its own, and is only compiled where that library is not installed.

A page that is a Django project runs in a process of its own: see project.py.

A block with a `caption` is a file of that name. In a `console` block each line that begins with
"$ cano-sync" is run, and its output compared where there is one.
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import io
import logging
import os
import re
import shlex
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cano_sync import Workflow
from cano_sync._engine import draining as engine_draining
from tests.docs import pages
from tests.docs.pages import Block

CODE = [pages.README, *pages.PAGES]
PROJECTS = {pages.BOOK / "guides" / "django.md"}
_same = doctest.OutputChecker().check_output


def with_pages(wanted: Callable[[Block], bool]) -> pytest.MarkDecorator:
    """Run a test for each page that has such a block."""
    paths = [path for path in CODE if any(map(wanted, pages.blocks_of(path)))]
    return pytest.mark.parametrize(
        "path", paths, ids=[path.relative_to(pages.ROOT).as_posix() for path in paths]
    )


def is_ours(block: Block) -> bool:
    """Whether it is Python that uses this package."""
    return block.language == "python" and "other-side" not in block.classes


def is_other_side(block: Block) -> bool:
    """Whether it is Python that uses another library instead."""
    return block.language == "python" and "other-side" in block.classes


def is_console(block: Block) -> bool:
    """Whether it is what a terminal shows."""
    return block.language == "console" and "not-run" not in block.classes


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to run in, where modules can be imported; logging is put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {name: sys.modules.get(name) for name in sys.modules}
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield tmp_path
    root.handlers[:], root.level = handlers, level
    engine_draining._forget()  # a page may have drained this process
    for name in sys.modules.keys() - before.keys():
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


def compiled(block: Block) -> types.CodeType:
    """The block's code; a traceback shows the line of the page."""
    source = "\n" * (block.line - 1) + block.code
    return compile(source, str(pages.ROOT / block.page), "exec", dont_inherit=True)


def run(block: Block, namespace: dict[str, object]) -> None:
    """Run a block and compare what it prints."""
    code, printed = compiled(block), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, namespace)
        for name in re.findall(r"^def (test_\w+)\(\)", block.code, re.MULTILINE):
            namespace[name]()  # type: ignore[operator]
    for value in namespace.values():
        if isinstance(value, Workflow):
            _ = value.description  # used: a page may describe one for a later block, or a terminal
    if block.prints is not None:
        compare(block, block.prints, printed.getvalue())


def compare(block: Block, expected: str, seen: str) -> None:
    """Fail where the output is another one."""
    if not _same(expected, seen, doctest.ELLIPSIS):
        lines = difflib.ndiff(expected.splitlines(), seen.splitlines())
        pytest.fail(f"{block.page}:{block.line} prints\n" + "\n".join(lines), pytrace=False)


def write_if_named(block: Block, folder: Path) -> bool:
    """Write a block with a caption into the file of that name; is there one?"""
    name = block.options.get("caption")
    if name is not None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(block.code, encoding="utf-8")
    return name is not None


def a_module(name: str = "__page__") -> dict[str, object]:
    """A namespace whose classes can be found, as those of a module can."""
    module = types.ModuleType(name)
    return vars(module)


@with_pages(is_ours)
def test_a_page_does_what_it_says(path: Path, folder: Path) -> None:
    if path in PROJECTS:
        run_project(path, folder)
        return
    namespace = a_module()
    for block in filter(is_ours, pages.blocks_of(path)):
        write_if_named(block, folder)
        if "not-run" in block.classes:
            compiled(block)
        else:
            run(block, namespace)


def run_project(path: Path, folder: Path) -> None:
    """Django takes its settings once a process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.docs.project", path.relative_to(pages.ROOT)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(pages.ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


@with_pages(is_other_side)
def test_the_other_side_does_what_it_says(path: Path) -> None:
    namespace = a_module()
    blocks = list(filter(is_other_side, pages.blocks_of(path)))
    for block in blocks:
        compiled(block)
    for block in blocks:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of another library are not ours to mend
                run(block, namespace)
        except ModuleNotFoundError as error:
            pytest.skip(f"{error.name} is not installed: its code was only compiled")


@with_pages(is_console)
def test_a_page_shows_what_its_commands_print(path: Path, folder: Path) -> None:
    for block in pages.blocks_of(path):
        write_if_named(block, folder)
        for command, expected in commands_of(block) if is_console(block) else ():
            assert command.startswith(("cano-sync ", "echo ")), f"{block.page}:{block.line}"
            seen = shell(command, folder)
            if expected:
                compare(block, expected, seen)


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Each command with the output that is shown below it."""
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def shell(command: str, folder: Path) -> str:
    """What a command prints, on both of its outputs."""
    program = f"{shlex.quote(sys.executable)} -m cano_sync.cli"
    done = subprocess.run(
        re.sub(r"\bcano-sync(?= )", lambda _: program, command),
        shell=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(pages.ROOT), "COLUMNS": "80", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
    )
    return done.stdout


def test_only_a_few_blocks_are_not_run() -> None:
    """What is only shown can be wrong without anybody noticing."""
    every = [block for path in CODE for block in pages.blocks_of(path) if is_ours(block)]
    shown = [f"{block.page}:{block.line}" for block in every if "not-run" in block.classes]
    assert len(shown) <= len(every) / 10, shown
