"""For your own tests: workflows without threads.

`inline()` keeps all runs of a block on the thread of the test, so that branches see its database
transaction, its monkeypatches and its debugger:

>>> from cano_sync import JoinConfig, JoinStrategy, MemoryStore, Workflow
>>> import threading
>>> def where(store):
...     return threading.current_thread().name
>>> workflow = (
...     Workflow()
...     .register_split("ASK", [where] * 2, JoinConfig(JoinStrategy.ALL, "DONE", collect="names"))
...     .add_exit_state("DONE")
...     .with_timeout(5)
... )
>>> store = MemoryStore()
>>> with inline():
...     workflow.orchestrate("ASK", store=store)
'DONE'
>>> store.get("names") == [threading.current_thread().name] * 2
True

`start_by_hand()` runs a scheduler while the test moves its `HandClock`: a week in no time.
"""

from .._base.inline import InlineExecutor
from .._engine import inline
from ..scheduler.clock import HandClock
from ..scheduler.handles import ByHand
from ..scheduler.scheduler import start_by_hand

__all__ = ("ByHand", "HandClock", "InlineExecutor", "inline", "start_by_hand")
