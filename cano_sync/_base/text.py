"""The short texts of messages: a state's name, an error's text, what may have been meant."""

from __future__ import annotations

__all__ = ("did_you_mean", "error_text", "full_name", "one_line", "state_name")

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING, Any

from .lazy import Lazy

if TYPE_CHECKING:
    import difflib
    import unicodedata
else:
    difflib = Lazy("difflib")  # for mistakes only
    unicodedata = Lazy("unicodedata")


def state_name(state: Any) -> str:
    """A state as logs, tables and pictures name it: a member's name, else the state as text.

    >>> state_name("START"), state_name(Enum("Quote", "ASK").ASK)
    ('START', 'ASK')
    """
    return str(state.name) if isinstance(state, Enum) else str(state)


def full_name(state: Any) -> str:
    """A state as messages name it, with its enum; another state is shown by its repr.

    >>> full_name("START"), full_name(Enum("Quote", "ASK").ASK)
    ("'START'", 'Quote.ASK')
    """
    return f"{type(state).__name__}.{state.name}" if isinstance(state, Enum) else repr(state)


def error_text(error: BaseException) -> str:
    """An error by its type and its text; never an error itself.

    >>> error_text(ValueError("no such order")), error_text(KeyError())
    ('ValueError: no such order', 'KeyError')
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception as other:
        return f"{kind} (its text raised {type(other).__name__})"
    return f"{kind}: {text}" if text else kind


# Format characters (category Cf) that belong to a text: joiners of emoji and of Persian letters.
# Others of them, such as those that turn the direction of writing, are shown by their number.
_KEPT = "\u200c\u200d"


def one_line(text: str) -> str:
    """The text with all that would break a line, a terminal or an XML file shown by escapes.

    >>> one_line("bell\\a and\\ttab"), one_line("日本 👍🏽")
    ('bell\\\\x07 and\\\\ttab', '日本 👍🏽')
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in _KEPT else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """What to add to a message about a wrong name: the names that are like it, or nothing.

    >>> did_you_mean("workfow", ["workflow", "states"])
    "; did you mean 'workflow'?"
    >>> did_you_mean("nope", ["one", "syn"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    alike = difflib.get_close_matches(wrong.lower(), by_lower, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(repr(by_lower[name]) for name in alike)}?" if alike else ""
