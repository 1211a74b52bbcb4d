"""The README is a front page: short, with two commands, and links that lead somewhere."""

from __future__ import annotations

import re

from cano_sync import JoinStrategy
from tests.docs import pages

TEXT = pages.README.read_text(encoding="utf-8")
LONGEST = 200


def test_it_is_a_front_page() -> None:
    assert len(TEXT.splitlines()) <= LONGEST


def test_every_command_begins_with_an_environment_of_its_own() -> None:
    blocks = [block for block in pages.blocks_of(pages.README) if block.language == "sh"]
    commands = [line for block in blocks for line in block.code.splitlines()]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)


def test_every_link_to_a_file_leads_to_one() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", TEXT)
    assert targets
    assert [target for target in targets if not (pages.ROOT / target).exists()] == []


def test_every_strategy_is_in_its_table() -> None:
    names = [name for name in vars(JoinStrategy) if name.isupper()]
    names += ["quorum(n)", "percentage(p)", "partial_results(n)"]
    assert [name for name in names if f"`JoinStrategy.{name}`" not in TEXT] == []


def test_every_guide_has_a_link() -> None:
    guides = [path for path in (pages.BOOK / "guides").glob("*.md") if path.stem != "index"]
    assert [path.stem for path in guides if f"(docs/guides/{path.name})" not in TEXT] == []
