"""From `module:attribute` to the object that is meant."""

from __future__ import annotations

__all__ = ("candidates", "find", "load_module")

import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_origin

from .._base.text import did_you_mean
from .errors import CommandError, ProgramError, UserCodeError, user_traceback

T = TypeVar("T")


def find(target: str, kind: type[T]) -> T:
    """The object of this kind that `target` names, or that the factory there makes.

    Args:
        target: `module:attribute` or `path/to/file.py:attribute`; the attribute may be dotted,
            or left out where the module has only one such object. The current directory is
            importable.
        kind: the class that is wanted.

    Raises:
        CommandError: there is no such thing; the message says what there is.
        UserCodeError: the module, or the factory, raised.
    """
    where, attribute = _split(target, kind)
    module = load_module(where)
    if not attribute:
        attribute = _only_one(where, module, kind)
        target = f"{where}:{attribute}"
    value: Any = module
    for depth, part in enumerate(attribute.split(".")):
        try:
            with users_code(f"{target} could not be looked up"):
                value = getattr(value, part)
        except UserCodeError as error:
            if not isinstance(error.error, AttributeError):
                raise
            what, names, more = _a(value), dir(value), ""
            if depth == 0:
                what, names = f"the module {where!r}", candidates(module, kind)
                more = _there(where, module, kind)
            hint = did_you_mean(part, names) or more
            raise CommandError(f"{target}: {what} has no {part!r}{hint}") from None
    return _made(target, value, kind)


def _noun(kind: type[object]) -> str:
    """How messages call what is wanted."""
    return kind.__name__.lower()


def _split(target: str, kind: type[object]) -> tuple[str, str]:
    where, colon, attribute = target.rpartition(":")
    if not colon:
        return target, ""
    if not where:
        raise CommandError(
            f"{target!r} does not say where the {_noun(kind)} is; write module{target}"
        )
    return where, attribute


def _only_one(where: str, module: ModuleType, kind: type[object]) -> str:
    """The name of what is meant where only the module was named.

    One object that has two names is one. A function counts where there is no object, and only if
    its annotation says what it makes: to call another would be a guess.
    """
    by_identity = {id(vars(module)[name]): name for name in reversed(_found_in(module, kind))}
    names = list(by_identity.values()) or _makers_in(module, kind)
    if len(names) == 1:
        return names[0]
    more = _there(where, module, kind)
    raise CommandError(f"{where!r} does not say which {_noun(kind)}{more}")


def _made(target: str, value: Any, kind: type[T]) -> T:
    """The value, or what it makes when it is a factory."""
    noun = _noun(kind)
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and not issubclass(value, kind):
        what = "a class (Enum)" if issubclass(value, Enum) else "a class"
        raise CommandError(f"{target} is {what}, not a {noun}")
    if not callable(value):
        raise CommandError(
            f"{target} is {_a(value)}, neither a {noun} nor a function that makes one"
        )
    needed = _required(value)
    if needed:
        raise CommandError(
            f"{target} needs {', '.join(needed)}; a function that makes a {noun} is called "
            "without arguments"
        )
    with users_code(f"{target}() raised"):
        made = value()
    if not isinstance(made, kind):
        if inspect.iscoroutine(made):
            made.close()
        raise CommandError(f"{target}() returned {_a(made)}, not a {noun}")
    return made


def _required(function: Any) -> list[str]:
    """The parameters that must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # one that is written in C: calling it will show
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


def _found_in(module: ModuleType, kind: type[object]) -> list[str]:
    """The names in a module under which there are objects of this kind."""
    return [name for name, value in vars(module).items() if isinstance(value, kind)]


def _makers_in(module: ModuleType, kind: type[object], *, by_name: bool = False) -> list[str]:
    """The names of the module's own functions that seem to make such an object; none is called.

    They have no parameters that must be given, and an annotation says that they return one.
    `by_name` those count, too, that only their name suggests: `make_orders`, `night_workflow`.
    """
    return [name for name, value in vars(module).items() if _makes(value, module, kind, by_name)]


def _makes(value: object, module: ModuleType, kind: type[object], by_name: bool) -> bool:
    if not inspect.isfunction(value) or value.__module__ != module.__name__ or _required(value):
        return False
    said = value.__annotations__.get("return")
    if said is None:
        named = rf"(make|build|create|new)(_|$)|(.*_)?{_noun(kind)}$"
        return by_name and re.match(named, value.__name__) is not None
    if isinstance(said, str):  # as `from __future__ import annotations` leaves them
        return re.fullmatch(rf"(\w+\.)*{kind.__name__}(\[.*\])?", said) is not None
    origin: object = get_origin(said)
    return kind in (said, origin)


def candidates(module: ModuleType, kind: type[object]) -> list[str]:
    """The names of all that could be meant: such objects, and what seems to make one."""
    return [*_found_in(module, kind), *_makers_in(module, kind, by_name=True)]


def _there(where: str, module: ModuleType, kind: type[object]) -> str:
    """What to add to a message: each that could be meant, as it is to be typed."""
    names = candidates(module, kind)
    if not names:
        return f"; there is no {_noun(kind)} in {where}"
    return f"; write {' or '.join(f'{where}:{name}' for name in names)}"


def _a(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """What the user's code raises in here becomes a `UserCodeError`.

    Ctrl-C passes. A module that ends the program, as a script does that was not meant to be
    imported, becomes a `ProgramError` that says so.
    """
    try:
        yield
    except SystemExit as error:
        raise ProgramError(
            f"{what}: it ended the program, by SystemExit({error.code!r}); put what a script does "
            "under `if __name__ == '__main__':`"
        ) from None
    except Exception as error:
        raise UserCodeError(what, error) from error


def load_module(where: str) -> ModuleType:
    """Import a module by its name, or the file at a path.

    Raises:
        CommandError: there is none.
        ProgramError: its own code raised (as `UserCodeError`), or ended the program.
    """
    if where.endswith(".py") or os.sep in where:
        return _from_file(Path(where))
    if not all(part.isidentifier() for part in where.split(".")):
        raise CommandError(f"{where!r} is neither a module's name nor the path of a .py file")
    _make_importable(Path.cwd())
    try:
        with users_code(f"{where} could not be imported"):
            return import_module(where)
    except UserCodeError as error:
        if not _is_missing(error.error, where):
            raise
        missing = str(getattr(error.error, "name", where))
        parent, _, last = missing.rpartition(".")
        hint = did_you_mean(last, _modules_in(parent))
        raise CommandError(
            f"there is no module {missing!r}{hint or ', here or among the installed packages'}"
        ) from None


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        files = path.parent.glob("*.py") if path.parent.is_dir() else ()
        # The ending that all have in common makes none of them alike.
        alike = [file.name for file in files if did_you_mean(path.stem, [file.stem])]
        raise CommandError(f"the file {path} {what}{did_you_mean(path.name, alike)}")
    path = path.resolve()
    _make_importable(Path.cwd())
    _make_importable(path.parent)  # first, as for a script: its siblings are its own
    # Registered, as pickle and dataclasses want it, and under no other module's name.
    name = path.stem if path.stem not in {*sys.modules, *sys.stdlib_module_names} else None
    spec = spec_from_file_location(name or f"cano_sync_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CommandError(f"the file {path} is no Python module; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with users_code(f"{path.name} could not be imported"):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(spec.name, None)
        raise
    return module


def _make_importable(folder: Path) -> None:
    """Put a folder first, as Python does with that of a script."""
    entry = str(folder)
    if entry in sys.path:
        sys.path.remove(entry)
    sys.path.insert(0, entry)


def _is_missing(error: BaseException, name: str) -> bool:
    """Whether it is this very module that is missing, not one that it imports itself."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    in_users_code = any(line.startswith("  File ") for line in user_traceback(error))
    return not in_users_code and f"{name}.".startswith(f"{error.name}.")


def _modules_in(parent: str) -> list[str]:
    """The names of the modules beside a missing one."""
    where = getattr(sys.modules.get(parent), "__path__", None) if parent else [str(Path.cwd())]
    return [found.name for found in pkgutil.iter_modules(where)] if where is not None else []
