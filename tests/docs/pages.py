"""The book's pages as what can be checked: blocks of code, with what they are expected to print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(path for path in BOOK.rglob("*.md") if "_build" not in path.parts)

# A fence, an info string, options as ":name: value" lines, the body, the same fence.
_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)
_OPTION = re.compile(r":(?P<name>[\w-]+):[ \t]*(?P<value>.*)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: the page's name, for messages.
        line: the number of its first line of code.
        language: such as "python", "text" or "console".
        options: those of its directive.
        code: what is in it.
        prints: for Python, what it is expected to print: the "text" block right behind it.
    """

    page: str
    line: int
    language: str
    options: dict[str, str]
    code: str
    prints: str | None = None

    @property
    def classes(self) -> set[str]:
        """What its option `class` says of it."""
        return set(self.options.get("class", "").split())


def blocks_of(path: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    return list(_blocks(text, path.relative_to(ROOT).as_posix()))


def _blocks(text: str, page: str) -> Iterator[Block]:
    found = list(_FENCE.finditer(text))
    for number, match in enumerate(found):
        info, body, options = match["info"].strip(), match["body"], {}
        line = text.count("\n", 0, match.start("body")) + 1
        if info.startswith("{code-block}"):
            info = info.removeprefix("{code-block}").strip()
            while option := _OPTION.match(body):
                options[option["name"]] = option["value"]
                body = body[option.end() :]
                line += 1
            line += len(body) - len(body.lstrip("\n"))
            body = body.lstrip("\n")
        prints = None
        if info == "python" and number + 1 < len(found):
            after = found[number + 1]
            if after["info"].strip() == "text" and not text[match.end() : after.start()].strip():
                prints = after["body"]
        yield Block(page, line, info, options, body, prints)
