"""Links from the reference to what has two names, and to Python's own documentation.

Classes are written in private modules and imported from public ones: a signature names the private
one. And Python's documentation is linked by the rules of its addresses, so that the book can be
built where there is no network.
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer

PUBLIC = (
    "cano_sync",
    "cano_sync.errors",
    "cano_sync.observe",
    "cano_sync.scheduler",
    "cano_sync.scheduler.telemetry",
    "cano_sync.testing",
    "cano_sync.diagram",
    "cano_sync.django",
    "cano_sync.flask",
    "cano_sync.sqlalchemy",
)
# Names in signatures that are no public objects: type variables, and aliases that say more.
TEXT = {
    "Description",
    "Moment",
    "S",
    "T",
    "D",
    "F",
    "Never",
    "Any",
    "Self",
    "Unpack",
    "AnyAround",
    "AnyTask",
    "AnyTasks",
    "Duration",
    "Callback",
    "Note",
    "Random",
    "Style",
    "StoreFactory",
    "AnySession",
}
ELSEWHERE = {
    "tenacity": "https://tenacity.readthedocs.io/en/latest/",
    "schedule": "https://schedule.readthedocs.io/en/stable/reference.html",
    "datetime": "https://docs.python.org/3/library/datetime.html",
    "Random": "https://docs.python.org/3/library/random.html#random.Random",
    "Job": "https://schedule.readthedocs.io/en/stable/reference.html",
    "flask": "https://flask.palletsprojects.com/en/stable/api/",
    "sqlalchemy": "https://docs.sqlalchemy.org/en/20/orm/session_api.html",
    "opentelemetry": "https://opentelemetry-python.readthedocs.io/en/latest/api/",
}
PYTHON = "https://docs.python.org/3/library/"
BUILTIN_PAGES = {"str": "stdtypes", "int": "functions", "float": "functions", "bool": "functions"}
BUILTIN_PAGES |= dict.fromkeys(("list", "tuple", "dict", "set", "frozenset", "range"), "stdtypes")


def _public_names() -> dict[str, str]:
    """From where an object is written, or its bare name, to where users find it."""
    found: dict[str, str] = {}
    for door in PUBLIC:
        module = importlib.import_module(door)
        for name in [*module.__all__, *getattr(module, "_EXTRAS", ())]:
            value = getattr(module, name)
            where = getattr(value, "__module__", None)
            if isinstance(where, str) and where != door:
                found.setdefault(
                    f"{where}.{getattr(value, '__qualname__', name)}", f"{door}.{name}"
                )
            found.setdefault(name, f"{door}.{name}")
    return found


def _python_address(target: str) -> str | None:
    module = target.rpartition(".")[0]
    if not module:
        value = getattr(sys.modules["builtins"], target, None)
        if value is None:
            return "constants.html#None" if target == "None" else None
        if isinstance(value, type) and issubclass(value, BaseException):
            return f"exceptions.html#{target}"
        return f"{BUILTIN_PAGES.get(target, 'functions')}.html#{target}"
    if module.split(".")[0] not in sys.stdlib_module_names:
        return None
    return f"{module}.html#{target}"


def resolve(app: Sphinx, env: Any, node: Any, content: nodes.Element) -> nodes.Node | None:
    """A link for a reference that Sphinx itself has not found; None to leave it dangling."""
    if node.get("refdomain") != "py":
        return None
    target: str = node["reftarget"].lstrip(".~")
    if target in TEXT or ("cano_sync" in target and target.rpartition(".")[2] in TEXT):
        return content
    names: dict[str, str] = app.cano_names  # type: ignore[attr-defined]
    public = names.get(target)
    if public is not None and public != target:
        domain = env.domains["py"]
        link = domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, content)
        if link is not None:
            return link
    address = ELSEWHERE.get(target.partition(".")[0])
    if address is None:
        page = _python_address(target)
        address = page and PYTHON + page
    if address is None:
        return None
    return nodes.reference("", "", content, internal=False, refuri=address)


def _read_as_it_stands(self: GoogleDocstring) -> list[str]:
    """A property's docstring is a sentence, which may have a colon; napoleon reads "type: text"."""
    return self._consume_to_next_section()


GoogleDocstring._parse_attribute_docstring = _read_as_it_stands  # type: ignore[method-assign]


_analyze = ModuleAnalyzer.analyze


def _analyze_without_overloads(self: ModuleAnalyzer) -> None:
    """Overloads are for type checkers; a reader gets one signature.

    A builder method has one for a workflow without states and one for the others: the latter says
    more than the method itself. For what else has several, the method says enough.
    """
    _analyze(self)
    self.overloads = {
        name: found[-1:] for name, found in self.overloads.items() if name.startswith("Workflow.")
    }


ModuleAnalyzer.analyze = _analyze_without_overloads  # type: ignore[method-assign]


def name_role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Inliner, *_: Any
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """What stands between single backticks in a docstring: a link to a name of ours, else code."""
    if re.fullmatch(r"[A-Z]\w*(\.\w+)*|[a-z]\w*(\.\w+)+", text):
        return PyXRefRole()("py:obj", rawtext, text, lineno, inliner)
    return [nodes.literal(rawtext, text)], []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.cano_names = _public_names()  # type: ignore[attr-defined]
    app.add_role("name", name_role)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
