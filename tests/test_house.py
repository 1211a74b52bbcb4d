"""The house: who may know whom, how large a room is, and what the front door shows."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cano_sync
from cano_sync import CanoError, errors

PACKAGE = Path(cano_sync.__file__).parent

# From the ground up; a room knows only rooms before it.
CORE = (
    "lazy", "errors", "value", "duration", "callbacks", "cancellation", "ambient", "store", "fence",
    "outcome", "strategy", "join", "hooks", "retry", "config", "signature", "task", "node",
    "description",
    "_engine", "_engine.tokens", "_engine.place", "_engine.pool", "_engine.news", "_engine.away",
    "_engine.attempts", "_engine.retrying", "_engine.perform", "_engine.listing", "_engine.ledger",
    "_engine.split", "_engine.machine", "_engine.run",
    "arguments", "validation", "workflow",
    "",  # the front door
)  # fmt: skip

# The wings, in the same order: each stands on the core, and on what is before it.
WINGS = (
    "observe.labels", "observe.scope", "observe.absences", "observe.tracebacks",
    "observe.flow_log", "observe.logs",
    "observe.telemetry.spans", "observe.telemetry.tracing", "observe.telemetry.metrics",
    "observe.telemetry.observer", "observe.telemetry",
    "observe.recording.words", "observe.recording.record", "observe.recording.draft",
    "observe.recording.history", "observe.recording.export", "observe.recording.remarks",
    "observe.recording.rows",
    "observe.recording.colours", "observe.recording.timeline", "observe.recording.dress",
    "observe.recording.page", "observe.recording.recorder", "observe.recording",
    "observe",
    "diagram.graph", "diagram.mermaid", "diagram.dot", "diagram",
    "demo", "demo.openrtb", "demo.http", "demo.services", "demo.options", "demo.records",
    "demo.report", "demo.exchange", "demo.__main__",
    "scheduler.backoff", "scheduler.clock", "scheduler.status", "scheduler.timetable",
    "scheduler.cron", "scheduler.jobs", "scheduler.options", "scheduler.agenda", "scheduler.runs",
    "scheduler.flow", "scheduler.roster", "scheduler.dispatcher", "scheduler.signals",
    "scheduler.ways", "scheduler.adding", "scheduler.scheduler", "scheduler",
    "cli.errors", "cli.values", "cli.target", "cli.states", "cli.signals", "cli.leave",
    "cli.columns", "cli.verbose", "cli.watch", "cli.views", "cli.flows", "cli.result", "cli.run",
    "cli.graph", "cli.timetable", "cli.completion", "cli.program", "cli", "cli.__main__",
)  # fmt: skip

# What a wing may load beside the standard library, by room: nobody else loads it.
OPTIONAL: dict[str, set[str]] = {
    "observe.telemetry.spans": {"opentelemetry"},
    "observe.telemetry.tracing": {"opentelemetry"},
    "observe.telemetry.metrics": {"opentelemetry"},
    "observe.telemetry.observer": {"opentelemetry"},
    "observe.recording.colours": {"rich"},
    "scheduler.cron": {"cronsim"},
    "scheduler.jobs": {"schedule"},
    "scheduler.options": {"typing_extensions"},  # for type checkers only
    "scheduler.adding": {"schedule"},  # for type checkers only
    "cli.program": {"click"},
    "cli.completion": {"click"},
    "cli.views": {"rich"},
    "cli.flows": {"rich"},
}

# The one look upwards, for the type checkers only: a failed join carries the result of a split.
UPWARDS = {("errors", "outcome")}

LONGEST_FILE = 340
LONGEST_FUNCTION = 40


def room_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = {room_of(file) for file in FILES if file.name == "__init__.py"}
ROOMS = {room_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def imports_of(room: str) -> Iterator[str]:
    """The rooms of the package that a room imports, by absolute or relative name."""
    for node in ast.walk(ROOMS[room]):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level == 0:
            if (node.module or "").split(".")[0] == "cano_sync":
                yield (node.module or "").removeprefix("cano_sync").lstrip(".")
            continue
        here = room.split(".") if room else []
        up = node.level - (1 if room in PACKAGES else 0)
        base = here[: len(here) - up] if up else here
        if node.module is None:  # from . import room
            yield from (".".join([*base, alias.name]) for alias in node.names)
        else:
            yield ".".join([*base, *node.module.split(".")])


def foreign_imports_of(room: str) -> set[str]:
    """The modules beside the standard library that a room loads."""
    names: set[str] = set()
    for node in ast.walk(ROOMS[room]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    tops = {name.split(".")[0] for name in names} - {"cano_sync"}
    return {top for top in tops if top not in sys.stdlib_module_names}


def test_every_room_has_its_floor() -> None:
    """A new file must be put on the list, which says whom it may know."""
    assert set(ROOMS) == {*CORE, *WINGS}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_what_is_optional_is_loaded_by_the_one_room_that_needs_it(room: str) -> None:
    core = {"tenacity", "typing_extensions"}  # the latter for type checkers only
    allowed = OPTIONAL.get(room, set()) | (core if room in CORE else set())
    assert foreign_imports_of(room) <= allowed


@pytest.mark.parametrize("room", [*CORE, *WINGS])
def test_a_room_knows_only_rooms_below(room: str) -> None:
    order = (*CORE, *WINGS)
    below = set(order[: order.index(room)])
    for imported in imports_of(room):
        assert imported in below or (room, imported) in UPWARDS, f"{room} imports {imported}"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_nothing_is_imported_inside_a_function(room: str) -> None:
    for function in ast.walk(ROOMS[room]):
        if isinstance(function, ast.FunctionDef):
            inside = [n for n in ast.walk(function) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert not inside, f"{room}.{function.name} imports"


@pytest.mark.parametrize("file", FILES, ids=room_of)
def test_a_file_stays_readable(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def function_sizes() -> dict[str, int]:
    sizes = {}
    for room, tree in ROOMS.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
                sizes[f"{room}.{node.name}:{node.lineno}"] = lines
    return sizes


def test_functions_stay_short() -> None:
    sizes = function_sizes()
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}
    assert statistics.median(sizes.values()) <= 8


@pytest.mark.parametrize("room", sorted(set(ROOMS) - PACKAGES))
def test_a_room_begins_with_its_purpose_and_its_names(room: str) -> None:
    """A docstring of one sentence first, and `__all__` before the imports."""
    tree = ROOMS[room]
    assert (ast.get_docstring(tree) or "").split("\n")[0].endswith(".")
    after = [n for n in tree.body[1:] if getattr(n, "module", "") != "__future__"]
    assert isinstance(after[0], ast.Assign)
    assert ast.unparse(after[0].targets[0]) == "__all__"


def test_the_front_door_shows_what_it_lists_and_no_more() -> None:
    public = {
        name
        for name, value in vars(cano_sync).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    # `task` is a room and a name: the name wins at the front door.
    assert public == set(cano_sync.__all__)
    assert list(cano_sync.__all__) == sorted(cano_sync.__all__)


def test_every_public_name_says_what_it_is() -> None:
    for name in cano_sync.__all__:
        assert (inspect.getdoc(getattr(cano_sync, name)) or "").strip(), name


ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, CanoError)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling_with_its_fields(kind: type[CanoError]) -> None:
    error = kind("it broke")
    error.state, error.task, error.run_id = "STATE", "task", "run"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert str(twin) == "it broke"
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_drawn_in_the_tree(kind: type[CanoError]) -> None:
    assert f" {kind.__name__} " in f"{(errors.__doc__ or '')} ".replace("\n", " \n ")


def test_importing_the_library_loads_nothing_optional() -> None:
    script = (
        "import sys; before = set(sys.modules); import cano_sync;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    ).stdout.split()
    foreign = {name for name in loaded if name not in sys.stdlib_module_names}
    assert "multiprocessing" not in loaded  # heavy, and nothing here needs it
    assert foreign == {"cano_sync"}  # tenacity comes with the first retries
