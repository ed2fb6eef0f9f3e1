"""Ledgers of older programs, kept as they were written, with orders that were on their way: each is settled.

A ledger in `tests/lab/ledgers` is named by its revision and never changed. It holds, in this order, an order that is
queued, one on the wire, one in doubt, one refused, one proven absent and queued again, and one more that is queued.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.worlds import World

OLD = sorted((Path(__file__).parent / "ledgers").glob("*.sql"))


def laid(old: Path, path: Path) -> None:
    """Put the old ledger where this world has its own."""
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(old.read_text())
        db.execute("PRAGMA journal_mode = WAL")


@pytest.mark.fault(88)
@pytest.mark.parametrize("old", OLD, ids=lambda old: old.stem)
@pytest.mark.parametrize("arrived", [False, True], ids=["lost on the way", "arrived"])
def test_what_an_older_program_left_unsettled_is_settled_as_it_would_have_been(
    own_world: World, old: Path, arrived: bool
) -> None:
    if arrived:  # what was on the wire and in doubt is at the exchange; its answers were lost
        for number in (2, 3):
            assert own_world.sandbox.create(client_order_id=f"x-{number}", price=f"0.0{number}00").status_code == 201
    laid(old, own_world.ledger_path)
    run = own_world.drain()
    assert run.exit_code == 0, run.report
    with own_world.opened() as oms:
        statuses = [oms.order(f"x-{number}").status for number in range(1, 7)]
        assert [each.name for each in oms.check() if not each.ok] == []
    assert statuses == ["resting", "resting", "resting", "rejected", "resting", "resting"]
    there = sorted(order["client_order_id"] for order in own_world.sandbox.orders())
    assert there == ["x-1", "x-2", "x-3", "x-5", "x-6"]
    assert own_world.drain().exit_code == 0
    assert len(own_world.sandbox.orders()) == 5


def test_there_is_a_ledger_of_each_revision_that_was_ever_released() -> None:
    assert OLD
