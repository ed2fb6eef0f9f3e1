"""Ledgers of older programs, with orders that were on their way: each is settled by this one.

Those of released versions are kept in `tests/lab/ledgers`, as `tests/lab/keep_ledger.py` wrote them; the first is that
of the program itself, made anew.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.worlds import World
from tests.lab.keep_ledger import KEPT, make

OLD = [None, *sorted(KEPT.glob("*.sql"))]


def laid(old: Path | None, path: Path) -> None:
    """Put the old ledger where this world has its own."""
    if old is None:
        make(path)
        Path(f"{path}.mark").unlink()  # it is as one that was carried here
        return
    path.touch(0o600)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(old.read_text())
        db.execute("PRAGMA journal_mode = WAL")


@pytest.mark.fault(88)
@pytest.mark.parametrize("old", OLD, ids=lambda old: old.stem if old else "own")
@pytest.mark.parametrize("arrived", [False, True], ids=["lost on the way", "arrived"])
def test_what_an_older_program_left_unsettled_is_settled_as_it_would_have_been(
    own_world: World, old: Path | None, arrived: bool
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
