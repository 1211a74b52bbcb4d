"""The tables of a database of checkpoints, as numbered steps that each happen whole."""

from __future__ import annotations

__all__ = ("SCHEMA", "SQLITE", "Migration")

from typing import NamedTuple


class Migration(NamedTuple):
    """One step from one schema to the next.

    Attributes:
        number: the schema's number afterwards.
        min_reader: the oldest number that a program must know to work with it. What only adds
            to the tables leaves it alone: old and new processes then run side by side.
        statements: what is done, in one transaction with the new number.
    """

    number: int
    min_reader: int
    statements: tuple[str, ...]


# `step` and `run` are ordinary tables, for their rows are large: only `process` and `meta` have
# none but their primary key. A transition changes `state`, `seq`, `begun` and `changed_at` of a
# run: none of these is in an index.
SQLITE = (
    Migration(
        number=1,
        min_reader=1,
        statements=(
            """create table run (
                id text primary key not null, workflow text not null, version text not null,
                shape text not null,
                status integer not null, state text not null, seq integer not null,
                token integer not null, owner text, begun integer not null,
                initial text not null, inputs text not null, error text,
                created_at real not null, changed_at real not null, ended_at real)""",
            "create index run_open on run (workflow, status) where status in (0, 1)",
            "create index run_owner on run (owner) where status = 1",
            "create index run_list on run (created_at, id)",
            """create table step (
                run text not null, seq integer not null, state text not null,
                entered_at real not null, token integer not null, kind integer not null,
                is_full integer not null, delta text not null, error text, crc integer not null,
                primary key (run, seq))""",
            """create table process (
                id text primary key not null, host text not null, pid integer not null,
                started_at real not null) without rowid""",
        ),
    ),
)

SCHEMA = SQLITE[-1].number
"""The number that this program writes, and knows all about."""
