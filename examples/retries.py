"""Trying again: after a fixed delay, after growing ones, as tenacity says, or after a time limit.

A `TaskConfig` says how a task is tried. Each run here loads from a server that fails at first; the
task asks its `context` which attempt it is in.

    python examples/retries.py
"""

from enum import Enum, auto
from typing import Literal

import tenacity

from cano_sync import (
    CancellationToken,
    CanoError,
    MemoryStore,
    Store,
    TaskConfig,
    TaskContext,
    Workflow,
)


class Load(Enum):
    """The states."""

    FETCH = auto()
    DONE = auto()


def fetch(store: Store, cancel: CancellationToken, context: TaskContext) -> Literal[Load.DONE]:
    script = store.get("script", tuple)
    what_happens = script[context.attempt - 1]
    store.append("attempts", f"{context.attempt} {what_happens}")
    match what_happens:
        case "is refused":
            raise ConnectionError("connection refused")
        case "is denied":
            raise PermissionError("wrong password")
        case "hangs":
            cancel.sleep(60)  # until the attempt's time is up
    return Load.DONE


def show(title: str, config: TaskConfig, *script: str) -> None:
    workflow = Workflow().register(Load.FETCH, fetch, config).add_exit_state(Load.DONE)
    store = MemoryStore({"script": script})
    try:
        ending = workflow.orchestrate(Load.FETCH, store=store).name
    except CanoError as error:
        ending = f"{type(error).__name__} from a {type(error.__cause__).__name__}"
    print(f"{title}: {', '.join(store.get('attempts', list))}: {ending}")


def main() -> None:
    fixed = TaskConfig().with_fixed_retry(2, delay=0.01)
    show("fixed", fixed, "is refused", "is refused", "succeeds")
    show("fixed", fixed, "is refused", "is refused", "is refused")

    # 10, 20, 40 ms, and so on to 50 at most; each a tenth shorter or longer, at random.
    growing = TaskConfig().with_exponential_retry(5, base_delay=0.01, max_delay=0.05)
    show("growing", growing, "is refused", "is refused", "is refused", "succeeds")

    # Any tenacity object, as it is: here only what may pass is tried again.
    raw = TaskConfig(
        tenacity.Retrying(
            stop=tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(10),
            wait=tenacity.wait_random_exponential(multiplier=0.001, max=0.01),
            retry=tenacity.retry_if_exception_type(ConnectionError),
        )
    )
    show("tenacity", raw, "is refused", "succeeds")
    show("tenacity", raw, "is refused", "is denied")

    limited = TaskConfig().with_fixed_retry(1, delay=0).with_attempt_timeout(0.25)
    show("time limit", limited, "hangs", "succeeds")


if __name__ == "__main__":
    main()
