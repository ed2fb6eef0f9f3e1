"""Deposits, withdrawals and transfers in the ledger: each once, as last shown, and what they did to which balance."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import NOW_US, running

from oms.errors import EpochLost
from oms.ledger import movements
from oms.ledger.ledger import Ledger
from oms.ledger.movements import SeenMovement
from oms.money.ties import Moved

NOW_S = NOW_US // 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    held = running(tmp_path / "ledger.sqlite3")
    yield held
    held.close()


def deposit(**changes: Any) -> SeenMovement:
    usual = SeenMovement("deposit", "d-1", "applied", None, 0, 10_000_000, 250_000, NOW_S, NOW_S + 5)
    return usual._replace(**changes)


def note(ledger: Ledger, *seen: SeenMovement) -> int:
    return movements.note_movements(ledger, seen, NOW_US + 60_000_000)


def test_a_movement_counts_once_and_from_the_second_it_was_applied_in(ledger: Ledger) -> None:
    assert note(ledger, deposit(status="pending", finalized_ts=None)) == 1
    assert movements.moved(ledger) == []
    assert note(ledger, deposit()) == 1
    assert note(ledger, deposit()) == 0
    assert movements.moved(ledger) == [Moved(0, NOW_S + 5, "deposit", 9_750_000, 250_000)]


@pytest.mark.parametrize(("finalized_ts", "returned_ts"), [(NOW_S + 90, NOW_S + 90), (None, NOW_S + 60)])
def test_what_was_applied_and_then_returned_moved_the_balance_twice(
    ledger: Ledger, finalized_ts: int | None, returned_ts: int
) -> None:
    note(ledger, deposit())
    assert note(ledger, deposit(status="returned", finalized_ts=finalized_ts)) == 1
    assert note(ledger, deposit(status="returned", finalized_ts=finalized_ts)) == 0
    assert movements.moved(ledger) == [
        Moved(0, NOW_S + 5, "deposit", 9_750_000, 250_000),
        Moved(0, returned_ts, "deposit", -9_750_000, 250_000),
    ]


@pytest.mark.parametrize("status", ["failed", "returned", "a_new_word"])
def test_what_was_never_seen_applied_moved_nothing(ledger: Ledger, status: str) -> None:
    assert note(ledger, deposit(status=status)) == 1
    assert movements.moved(ledger) == []
    (row,) = movements.movement_rows(ledger, None)
    assert (row.status, row.moved_ts) == (status, None)


def test_a_fee_comes_on_top_of_a_withdrawal_and_a_transfer_has_two_ends(ledger: Ledger) -> None:
    withdrawal = deposit(kind="withdrawal", movement_id="w-1", from_subaccount=0, to_subaccount=None)
    transfer = SeenMovement("transfer", "t-1", "applied", 0, 3, 5_000_000, 0, NOW_S + 6, None)
    assert note(ledger, withdrawal, transfer) == 2
    assert movements.moved(ledger) == [
        Moved(0, NOW_S + 5, "withdrawal", -10_250_000, 250_000),
        Moved(0, NOW_S + 6, "transfer", -5_000_000, 0),
        Moved(3, NOW_S + 6, "transfer", 5_000_000, 0),
    ]
    assert [row.movement_id for row in movements.movement_rows(ledger, 1)] == ["t-1"]


def test_only_the_run_of_the_newest_epoch_may_write(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE ledger SET epoch = epoch + 1")
    with pytest.raises(EpochLost):
        note(ledger, deposit())
    assert movements.movement_rows(ledger, None) == []
