"""Deposits, withdrawals and transfers as they are told: exact, tolerant of what is new, refused where unreadable."""

import json
from typing import Any

import pytest

from oms.venue.movements import Movement, MovementKind, read_movement
from oms.venue.wire import Unreadable, parse

TOLD = {
    "id": "d-1",
    "status": "applied",
    "type": "ach",
    "amount_cents": 12_345,
    "fee_cents": 25,
    "created_ts": 1_781_159_348,
    "finalized_ts": 1_781_160_000,
    "something_new": [1],
}
TRANSFER = {
    "transfer_id": "t-1",
    "from_subaccount": 0,
    "to_subaccount": 3,
    "amount_cents": 500,
    "created_ts": 1_781_159_348,
    "exchange_index": 0,
}


def read(kind: MovementKind, told: dict[str, Any], **changes: Any) -> Movement:
    item = {name: value for name, value in {**told, **changes}.items() if value != "absent"}
    return read_movement(kind, parse(json.dumps(item).encode()))


def test_a_deposit_comes_to_the_primary_subaccount_and_a_withdrawal_leaves_it() -> None:
    deposit = read("deposit", TOLD)
    assert deposit == Movement(
        kind="deposit",
        movement_id="d-1",
        status="applied",
        from_subaccount=None,
        to_subaccount=0,
        amount_e6=123_450_000,
        fee_e6=250_000,
        created_ts=1_781_159_348,
        finalized_ts=1_781_160_000,
    )
    withdrawal = read("withdrawal", TOLD)
    assert (withdrawal.from_subaccount, withdrawal.to_subaccount) == (0, None)


def test_a_transfer_has_two_ends_and_is_done_when_it_is_made() -> None:
    found = read("transfer", TRANSFER)
    assert (found.movement_id, found.from_subaccount, found.to_subaccount) == ("t-1", 0, 3)
    assert (found.status, found.amount_e6, found.fee_e6, found.finalized_ts) == ("applied", 5_000_000, 0, None)


def test_what_may_be_missing_is_nothing_and_a_new_word_is_kept() -> None:
    found = read("deposit", TOLD, status="under_review", fee_cents="absent", finalized_ts=None)
    assert (found.status, found.fee_e6, found.finalized_ts) == ("under_review", 0, None)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("deposit", {"id": "absent"}),
        ("deposit", {"id": 7}),
        ("deposit", {"amount_cents": "absent"}),
        ("deposit", {"amount_cents": -1}),
        ("deposit", {"amount_cents": "1.00001"}),
        ("deposit", {"fee_cents": -1}),
        ("deposit", {"created_ts": "absent"}),
        ("deposit", {"created_ts": "soon"}),
        ("withdrawal", {"status": "absent"}),
        ("transfer", {"transfer_id": "absent"}),
        ("transfer", {"to_subaccount": "absent"}),
    ],
)
def test_what_cannot_be_read_is_refused(kind: MovementKind, changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read(kind, TRANSFER if kind == "transfer" else TOLD, **changes)
