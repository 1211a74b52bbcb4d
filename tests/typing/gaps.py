"""What the types do not say yet, in the manner of `mistakes.py`: one more mend, one line less."""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_type

from cano_sync import JoinConfig, JoinStrategy, Outcome, Store, TaskConfig, TaskResult, Workflow


class Quote(Enum):
    LOAD = auto()
    DONE = auto()


class Other(Enum):
    HERE = auto()


def other(store: Store) -> Other:
    return Other.HERE


# mypy ignores what is written in the brackets.
Workflow[Quote]().register(Other.HERE, other)  # error: arg-type, arg-type
Workflow[Quote]().register(Quote.LOAD, other)  # error: arg-type
declared: Workflow[Quote] = Workflow()

# mypy refuses one iterable of states, where there were no states before.
assert_type(Workflow().add_exit_states([Quote.LOAD, Quote.DONE]), Workflow[Quote])


# Pyright in its strict mode does not know what `TaskResult.single` takes.
def single() -> TaskResult[Quote]:
    return TaskResult.single(Quote.DONE)


# Neither of the two knows that values are immutable.
JoinConfig(JoinStrategy.ALL, Quote.DONE).timeout = 3  # error: misc
TaskConfig().retry = None  # error: misc
Outcome(0, "a").value = 1  # error: misc
