"""Facts are applied to what the ledger holds, whatever the caller remembers of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, filled, recorded, running, tell

from oms.errors import InvalidTransition, LedgerFailed
from oms.ledger import queries
from oms.ledger.changes import record_cancels
from oms.ledger.check import check
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState, OrderStatus


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        recorded(ledger, 3)
        yield ledger
        if not ledger.has_failed:
            assert [each for each in check(ledger) if not each.ok] == []


@pytest.mark.fault(91)
def test_an_answer_that_comes_with_an_old_entry_does_not_undo_what_came_since(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[0]
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    accepted = tell(ledger, [(on_wire, acknowledged(on_wire))])[entry.command_key]
    tell(ledger, [(accepted, filled(accepted, "t1", accepted.order.count_e2))])
    after = tell(ledger, [(on_wire, e.AttemptUnknown(attempt=1, why="no_answer"))])[entry.command_key]
    assert after.command.state is CommandState.ACCEPTED
    assert after.order.fill_count_e2 == after.order.count_e2
    assert after.order.order_id == accepted.order.order_id


@pytest.mark.fault(91)
def test_an_order_that_was_found_meanwhile_cannot_be_claimed_from_memory(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[0]
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    tell(ledger, [(on_wire, acknowledged(on_wire))])
    with pytest.raises(InvalidTransition):
        tell(ledger, [(entry, claimed(entry))])
    assert entries(ledger, 3)[0].command.attempts == 1


def test_a_cancel_recorded_meanwhile_keeps_the_chain_whole(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[0]
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    record_cancels(ledger, [entry.order_key], NOW_US)
    after = tell(ledger, [(on_wire, acknowledged(on_wire))])[entry.command_key]
    assert (after.order.status, after.event_count) == (OrderStatus.RESTING, 4)


def test_facts_of_one_turn_about_one_order_build_on_each_other(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[1]
    facts: list[tuple[object, e.Event]] = [(entry, claimed(entry)), (entry, acknowledged(entry))]
    after = tell(ledger, [*facts, (entry, filled(entry, "t1", 100))])[entry.command_key]  # type: ignore[list-item]
    assert (after.command.state, after.order.fill_count_e2, after.event_count) == (CommandState.ACCEPTED, 100, 4)


# -- the chain


def history(ledger: Ledger, order_key: int) -> list[tuple[int, str, bytes]]:
    with ledger.read() as connection:
        rows = connection.exec_driver_sql(f"SELECT n, kind, hash FROM events WHERE order_key = {order_key} ORDER BY n")
        return [(row[0], row[1], row[2]) for row in rows]


def test_every_event_is_chained_to_the_one_before_it_and_the_order_knows_the_last(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[0]
    facts: list[tuple[Entry, e.Event]] = [(entry, claimed(entry)), (entry, acknowledged(entry))]
    after = tell(ledger, facts)[entry.command_key]
    found = history(ledger, entry.order_key)
    assert [(n, kind) for n, kind, _ in found] == [(1, "recorded"), (2, "claimed"), (3, "acknowledged")]
    assert (after.event_count, after.chain_hash) == (3, found[-1][2])
    assert len({hashed for _, _, hashed in found}) == 3
    other = entries(ledger, 3)[1]
    assert history(ledger, other.order_key)[0][2] != found[0][2], "equal events of two orders have two chains"


def test_a_decision_that_is_not_allowed_writes_nothing_of_its_whole_turn(ledger: Ledger) -> None:
    one, two, _ = entries(ledger, 3)
    before = [history(ledger, x.order_key) for x in (one, two)]
    with pytest.raises(InvalidTransition):
        tell(ledger, [(one, claimed(one)), (two, e.Requeued())])
    assert [history(ledger, x.order_key) for x in (one, two)] == before
    assert entries(ledger, 3)[0].command.state is CommandState.QUEUED


@pytest.mark.fault(63)
def test_a_trade_is_counted_once_whoever_tells_of_it_again(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[1]
    accepted = tell(ledger, [(entry, claimed(entry)), (entry, acknowledged(entry))])[entry.command_key]
    tell(ledger, [(accepted, filled(accepted, "t1", 50))])
    with pytest.raises(LedgerFailed):
        tell(ledger, [(accepted, filled(accepted, "t1", 50))])
    with closing(running_again(ledger)) as again:
        assert entries(again, 3)[1].order.traded_count_e2 == 50


def running_again(ledger: Ledger) -> Ledger:
    """The same file in another run: the first is done for after a failure."""
    ledger.close()
    return running(ledger.path)


# -- a second order under one id


@pytest.mark.parametrize("how", ["acknowledged", "found", "observed"])
def test_a_second_order_id_is_noted_halts_sending_and_changes_nothing_else(ledger: Ledger, how: str) -> None:
    entry = entries(ledger, 3)[0]
    accepted = tell(ledger, [(entry, claimed(entry)), (entry, acknowledged(entry))])[entry.command_key]
    seen = e.Snapshot(
        order_id="second",
        client_order_id=entry.client_order_id,
        ticker=entry.ticker,
        side=entry.side,
        status="executed",
        price_e6=entry.price_e6,
        initial_count_e2=entry.order.count_e2,
        fill_count_e2=entry.order.count_e2,
        remaining_count_e2=0,
    )
    event: e.Event = {
        "acknowledged": e.Acknowledged(attempt=1, order_id="second", fill_count_e2=9, remaining_count_e2=0, ts_ms=9),
        "found": e.Found(source="orders", as_of_ms=9, order=seen),
        "observed": e.Observed(source="orders", as_of_ms=9, order=seen),
    }[how]
    for _ in range(2):
        after = tell(ledger, [(accepted, event)])[entry.command_key]
        assert after.order.order_id == accepted.order.order_id
        assert (after.order.status, after.order.fill_count_e2) == (OrderStatus.RESTING, 0)
        assert "second" in (after.order.detail or "")
        assert "second order" in (queries.halt_reason(ledger) or "")
    kinds = [kind for _, kind, _ in history(ledger, entry.order_key)]
    assert kinds.count("duplicate_seen") == 1
    queries.lift_halt(ledger)
    assert queries.halt_reason(ledger) is None
