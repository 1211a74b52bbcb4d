"""The house: who may know whom, what the front door shows, and what importing it loads."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cano_sync
from cano_sync import CanoError, errors

PACKAGE = Path(cano_sync.__file__).parent

# The floors of the core, from the ground up. A module knows only floors below its own, and
# modules of its own folder without a circle. All other folders are wings: each stands on the core.
FLOORS = ("errors", "_base", "_model", "_engine", "workflow", "")

# Which wing may know which others; the core knows none.
WINGS: dict[str, set[str]] = {
    "observe": set(),
    "diagram": {"observe"},
    "scheduler": {"observe"},
    "checkpoints": set(),
    "testing": {"scheduler"},
    "django": {"testing", "cli"},
    "flask": {"testing", "cli"},
    "sqlalchemy": set(),
    "demo": {"observe", "diagram"},
    "cli": {"observe", "diagram", "scheduler", "demo", "checkpoints"},
}

# What is loaded beside the standard library, by folder or module: nobody else loads it.
FOREIGN: dict[str, set[str]] = {
    "_model.config": {"tenacity"},  # for type checkers only
    "_model.retry": {"tenacity"},
    "_engine.retrying": {"tenacity"},
    "workflow": {"typing_extensions"},  # for type checkers only
    "observe.telemetry": {"opentelemetry"},
    "scheduler": {"schedule", "cronsim", "typing_extensions"},
    "scheduler.telemetry": {"opentelemetry"},
    "cli": {"click", "rich"},
    "django": {"django", "psycopg", "asgiref"},
    "flask": {"flask", "werkzeug", "click"},
    "sqlalchemy": {"sqlalchemy"},
}

# The one look upwards, for the type checkers only: a failed join carries the result of a split.
UPWARDS = {("errors", "_model.outcome")}


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = {name_of(file) for file in FILES if file.name == "__init__.py"}
MODULES = {name_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def imports_of(module: str) -> Iterator[tuple[str, str]]:
    """The modules of the package that one imports, each with a name that it takes from there."""
    for node in ast.walk(MODULES[module]):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level == 0:
            if (node.module or "").split(".")[0] != "cano_sync":
                continue
            target = (node.module or "").removeprefix("cano_sync").lstrip(".")
        else:
            own = module.split(".") if module else []
            up = node.level - (1 if module in PACKAGES else 0)
            base = own[: len(own) - up] if up else own
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
        for alias in node.names:
            inner = f"{target}.{alias.name}".strip(".")
            yield (inner, "") if inner in MODULES else (target, alias.name)


def foreign_imports_of(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    tops = {name.split(".")[0] for name in names} - {"cano_sync"}
    return {top for top in tops if top not in sys.stdlib_module_names}


def folder_of(module: str) -> str:
    return module.split(".")[0]


def may_know(module: str, other: str) -> bool:
    own, theirs = folder_of(module), folder_of(other)
    if own == theirs or (module, other) in UPWARDS:
        return True
    if own in FLOORS:
        return theirs in FLOORS and FLOORS.index(theirs) < FLOORS.index(own)
    return theirs in FLOORS or theirs in WINGS[own]


def engine_door() -> set[tuple[str, str]]:
    """What `_engine/__init__.py` lists for the wings, as (module, name)."""
    return {("_engine", name) for name in cano_sync._engine.__all__}


def test_every_folder_has_its_floor() -> None:
    assert {folder_of(module) for module in MODULES} == {*FLOORS, *WINGS}


def test_a_module_knows_only_floors_below_and_there_is_no_circle() -> None:
    upwards = [
        f"{module} imports {other}"
        for module in MODULES
        for other, _ in imports_of(module)
        if not may_know(module, other)
    ]
    assert upwards == []
    graph = {
        module: {other for other, _ in imports_of(module) if (module, other) not in UPWARDS}
        - {module}
        for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")


def test_wings_take_from_the_engine_only_what_it_lists_for_them() -> None:
    listed = engine_door()
    others = [
        f"{module} takes {name or 'all'} from {other}"
        for module in MODULES
        if folder_of(module) in WINGS
        for other, name in imports_of(module)
        if folder_of(other) == "_engine" and (other, name) not in listed
    ]
    assert others == []


def test_what_is_optional_is_loaded_only_where_it_is_needed() -> None:
    wrong = [
        f"{module} loads {sorted(extra)}"
        for module in MODULES
        if (
            extra := foreign_imports_of(module)
            - {
                name
                for where, names in FOREIGN.items()
                if f"{module}.".startswith(f"{where}.")
                for name in names
            }
        )
    ]
    assert wrong == []


def test_nothing_is_imported_inside_a_function() -> None:
    inside = [
        f"{module}.{function.name}"
        for module, tree in MODULES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function))
    ]
    assert inside == []


def test_a_module_begins_with_its_purpose_and_its_names() -> None:
    """A docstring whose first line is a sentence, and `__all__` before the imports."""
    wrong = []
    for module in sorted(set(MODULES) - PACKAGES):
        tree = MODULES[module]
        purpose = (ast.get_docstring(tree) or "").split("\n")[0]
        rest = [node for node in tree.body[1:] if getattr(node, "module", "") != "__future__"]
        names = isinstance(rest[0], ast.Assign) and ast.unparse(rest[0].targets[0]) == "__all__"
        if not purpose.endswith(".") or not names:
            wrong.append(module)
    assert wrong == []


# The front door.


def test_the_front_door_shows_what_it_lists_and_no_more() -> None:
    public = {
        name
        for name, value in vars(cano_sync).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
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


def test_every_error_is_drawn_in_the_tree() -> None:
    tree = f"{(errors.__doc__ or '')} ".replace("\n", " \n ")
    assert [kind.__name__ for kind in ERRORS if f" {kind.__name__} " not in tree] == []


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
