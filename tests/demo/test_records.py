"""The books of the ad exchange."""

from __future__ import annotations

import sqlite3

from cano_sync.demo.records import interrupt


def test_a_query_that_has_just_ended_may_still_be_stopped() -> None:
    """A cancellation that was already under way comes when the connection is closed."""
    connection = sqlite3.connect(":memory:")
    interrupt(connection)
    connection.close()
    interrupt(connection)
