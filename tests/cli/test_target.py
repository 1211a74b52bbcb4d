"""From `module:attribute` to what is meant; and what is said where there is no such thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cano_sync import Workflow
from cano_sync.cli.errors import CommandError, UserCodeError
from cano_sync.cli.target import find


def found(target: str) -> Workflow:
    return find(target, Workflow)


@pytest.mark.parametrize("target", ["shop:workflow", "shop:make", "shop.py:workflow"])
def test_it_names_the_object_or_what_makes_it(folder: Path, target: str) -> None:
    assert len(found(target).description.states) == 2


def test_attributes_may_be_dotted_and_modules_in_packages(folder: Path) -> None:
    (folder / "flows").mkdir()
    (folder / "flows" / "night.py").write_text(
        "from shop import workflow\nclass Flows:\n    main = staticmethod(lambda: workflow)\n"
    )
    assert found("flows.night:Flows.main")


def test_a_file_finds_its_siblings_and_may_have_the_name_of_another_module(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "sibling.py").write_text("from shop import workflow\n")
    (folder / "deep" / "json.py").write_text("from sibling import workflow\n")
    assert found("deep/json.py:workflow")


def test_a_dataclass_in_a_file_knows_its_module(folder: Path) -> None:
    (folder / "data.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from shop import workflow\n"
        "@dataclass\nclass Order:\n    kind: ClassVar[str] = 'order'\n    amount: int = 1\n"
    )
    assert found("data.py:workflow")


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("shop", "'shop' does not say which workflow; write shop:workflow or shop:invalid or "),
        ("shop.py", "'shop.py' does not say which workflow; write shop.py:workflow or shop.py:inv"),
        ("json", "'json' does not say which workflow; there is no workflow in json"),
        (":workflow", "':workflow' does not say where the workflow is; write module:workflow"),
        ("shap:workflow", "there is no module 'shap'; did you mean 'shop'?"),
        ("zzz:workflow", "there is no module 'zzz', here or among the installed packages"),
        ("shop.flows:workflow", "there is no module 'shop.flows', here or"),
        ("my-shop:workflow", "'my-shop' is neither a module's name nor the path of a .py file"),
        ("shap.py:workflow", "the file shap.py does not exist; did you mean 'shop.py'?"),
        ("nope.py:workflow", "the file nope.py does not exist"),
        ("no/shop.py:workflow", "the file no/shop.py does not exist"),
        ("shop:worflow", "shop:worflow: the module 'shop' has no 'worflow'; did you mean 'work"),
        ("shop:zzz", "shop:zzz: the module 'shop' has no 'zzz'; write shop:workflow or shop"),
        ("json:zzz", "json:zzz: the module 'json' has no 'zzz'; there is no workflow in json"),
        ("shop:Quote.ASKED", "shop:Quote.ASKED: an EnumType has no 'ASKED'; did you mean 'ASK'?"),
        ("shop:Quote", "shop:Quote is a class (Enum), not a workflow"),
        ("shop:Path", "shop:Path is a class, not a workflow"),
        ("shop:prices", "shop:prices is a dict, neither a workflow nor a function that makes one"),
        ("shop:one", "shop:one needs work; a function that makes a workflow is called without"),
        ("shop:ready", "shop:ready() returned None, not a workflow"),
    ],
)
def test_what_is_not_there_is_reported_in_one_line(folder: Path, target: str, why: str) -> None:
    with pytest.raises(CommandError) as raised:
        found(target)
    assert str(raised.value).startswith(why)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_only_names_that_are_close_are_suggested(folder: Path) -> None:
    for name in ("syn.py", "lin.py", "one.py"):
        (folder / name).touch()
    with pytest.raises(CommandError) as raised:
        found("nope.py:workflow")
    assert str(raised.value) == "the file nope.py does not exist"


@pytest.mark.parametrize(
    "source",
    [
        "from shop import workflow\n",
        "from shop import workflow as main, make\nagain = main\ndef make_other(): return main\n",
        "import shop\ndef orders() -> shop.Workflow: return shop.workflow\n",
        "from __future__ import annotations\nimport shop\n"
        "def orders(n=1) -> shop.Workflow[str]: return shop.workflow\n",
    ],
)
def test_where_there_is_only_one_it_need_not_be_named(folder: Path, source: str) -> None:
    (folder / "alone.py").write_text(source)
    assert found("alone.py") is found("alone")


def test_a_function_is_not_called_for_its_name_only(folder: Path) -> None:
    (folder / "named.py").write_text("def make_orders():\n    raise OSError\n")
    with pytest.raises(CommandError, match=r"which workflow; write named\.py:make_orders$"):
        found("named.py")


def test_it_is_reported_on_stderr_with_code_2(cli) -> None:
    wrong = cli("validate", "shap:workflow")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr == "cano-sync: there is no module 'shap'; did you mean 'shop'?\n"


# The user's own code raises.


def test_what_a_module_raises_is_shown_with_its_traceback_and_nobody_elses(cli, folder) -> None:
    (folder / "broken.py").write_text(
        "import shop\n\n\ndef load():\n    return {}['key']\n\nload()\n"
    )
    wrong = cli("validate", "broken:workflow")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    lines = wrong.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(", ")[1] for line in lines if line.startswith("  File ")] == [
        "line 7",
        "line 5",
    ]
    assert lines[-2:] == ["KeyError: 'key'", "cano-sync: broken could not be imported"]


def test_a_mistake_in_building_points_at_the_users_line(cli, folder) -> None:
    (folder / "twice.py").write_text(
        "from cano_sync import Workflow\n"
        "workflow = Workflow().register('A', lambda: 'B')\n"
        "workflow = workflow.register('A', lambda: 'B')\n"
    )
    wrong = cli("validate", "twice:workflow")
    files = [line for line in wrong.stderr.splitlines() if line.startswith("  File ")]
    assert len(files) == 1
    assert "twice.py" in files[0]
    assert "ConfigurationError" in wrong.stderr


def test_a_module_that_is_missing_inside_the_users_is_not_the_users_module(cli, folder) -> None:
    (folder / "needs.py").write_text("import not_there\n")
    wrong = cli("validate", "needs:workflow")
    assert wrong.exit_code == 1
    assert "ModuleNotFoundError: No module named 'not_there'" in wrong.stderr


def test_a_syntax_error_is_shown_where_it_is(cli, folder) -> None:
    (folder / "typo.py").write_text("workflow = = 3\n")
    wrong = cli("validate", "typo.py:workflow")
    assert wrong.exit_code == 1
    assert 'typo.py", line 1' in wrong.stderr
    assert "SyntaxError" in wrong.stderr
    assert "importlib" not in wrong.stderr


def test_a_script_that_ends_the_program_is_called_one(folder: Path) -> None:
    (folder / "script.py").write_text("import sys\nsys.exit(3)\n")
    with pytest.raises(CommandError, match=r"ended the program, by SystemExit\(3\); put") as raised:
        found("script:workflow")
    assert raised.value.exit_code == 1  # it is the module that fails


def test_a_factory_that_raises_is_shown_too(folder: Path) -> None:
    (folder / "maker.py").write_text("def make():\n    raise OSError('no database')\n")
    with pytest.raises(UserCodeError, match=r"maker:make\(\) raised") as raised:
        found("maker:make")
    assert isinstance(raised.value.error, OSError)
