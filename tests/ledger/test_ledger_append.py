"""Facts are applied to what the ledger holds, whatever the caller remembers of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, filled, recorded, running, tell

from oms.errors import InvalidTransition
from oms.ledger.check import check
from oms.ledger.ledger import Ledger
from oms.ledger.record import record_cancels
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState, OrderStatus


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        recorded(ledger, 3)
        yield ledger
        assert [each for each in check(ledger) if not each.ok] == []


def test_an_answer_that_comes_with_an_old_entry_does_not_undo_what_came_since(ledger: Ledger) -> None:
    entry = entries(ledger, 3)[0]
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    accepted = tell(ledger, [(on_wire, acknowledged(on_wire))])[entry.command_key]
    tell(ledger, [(accepted, filled(accepted, "t1", accepted.order.count_e2))])
    after = tell(ledger, [(on_wire, e.AttemptUnknown(attempt=1, why="no_answer"))])[entry.command_key]
    assert after.command.state is CommandState.ACCEPTED
    assert after.order.fill_count_e2 == after.order.count_e2
    assert after.order.order_id == accepted.order.order_id


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
