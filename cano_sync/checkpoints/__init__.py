"""Runs that survive their process: what records them, and what is recorded of them.

>>> from tempfile import TemporaryDirectory
>>> from cano_sync import MemoryStore, Workflow
>>> def load(store):
...     store.put("rows", [1, 2, 3])
...     return "ADD"
>>> def add(store):
...     store.put("total", sum(store.get("rows", list)))
...     return "DONE"
>>> with TemporaryDirectory() as folder, SQLiteCheckpoints(f"{folder}/runs.db") as checkpoints:
...     workflow = (
...         Workflow()
...         .register("LOAD", load)
...         .register("ADD", add)
...         .add_exit_state("DONE")
...         .with_checkpoints(checkpoints, name="report")
...     )
...     workflow.orchestrate("LOAD", run_id="monday")
...     for step in checkpoints.run("monday").steps:
...         print(step.seq, step.state, step.changes)
'DONE'
0 LOAD {}
1 ADD {'rows': [1, 2, 3]}
2 DONE {'total': 6}

Each time that the run comes to a state, that and what has changed in its store are recorded, in
one short transaction, before the state's task begins. The same call after a crash, in whatever
process, goes on from there.
"""

from .._base.codec import Codec, Placeholder
from .._model.checkpoint import Checkpoints, Owner, RunRow, RunStatus, StepKind, StepRow, Stored
from .history import RunRecord, StepRecord
from .memory import MemoryCheckpoints
from .sqlite import SQLiteCheckpoints

__all__ = (
    "Checkpoints",
    "Codec",
    "MemoryCheckpoints",
    "Owner",
    "Placeholder",
    "RunRecord",
    "RunRow",
    "RunStatus",
    "SQLiteCheckpoints",
    "StepKind",
    "StepRecord",
    "StepRow",
    "Stored",
)
