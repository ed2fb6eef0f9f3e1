"""One turn of the writer: what it may claim, and what keeps it from claiming."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, recorded, running, tell

from oms.errors import EpochLost, LedgerDamaged, LedgerReplaced
from oms.ledger.append import set_halt
from oms.ledger.changes import record_cancels
from oms.ledger.check import check
from oms.ledger.claim import Desk, Now, Scope, Turn, open_run, withdraw_expired
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind, CommandState, OrderStatus, Reason

SECOND = 1_000_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        yield ledger


def now(after_s: float = 0) -> Now:
    at_us = NOW_US + int(after_s * SECOND)
    return Now(at_us=at_us, signed_ms=at_us // 1000)


def desk(ledger: Ledger, scope: Scope | None = None, *, at_once: bool = False) -> Desk:
    return Desk(ledger, scope or Scope(), at_once=at_once)


def ids(turn: Turn) -> list[str]:
    return [entry.client_order_id for entry in turn.claimed]


def in_doubt(ledger: Ledger, entry: Entry) -> None:
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    tell(ledger, [(on_wire, e.AttemptUnknown(attempt=1, why="no_answer"))])


def state_of(ledger: Ledger, name: str, number: int) -> CommandState:
    return entries(ledger, number, name)[number - 1].command.state


# -- what is claimed


def test_creates_are_claimed_in_the_order_of_their_rows_and_batches(ledger: Ledger) -> None:
    recorded(ledger, 3, "a")
    recorded(ledger, 2, "b")
    line = desk(ledger)
    assert ids(line.turn([], 4, now())) == ["a-1", "a-2", "a-3", "b-1"]
    assert ids(line.turn([], 4, now())) == ["b-2"]
    assert ids(line.turn([], 4, now())) == []


def test_what_is_claimed_is_durable_with_attempt_epoch_and_timestamp_before_it_is_returned(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = desk(ledger).turn([], 1, now()).claimed
    stored = entries(ledger, 1)[0].command
    assert stored == entry.command
    assert (stored.state, stored.attempts, stored.live) == (CommandState.ON_WIRE, 1, (1,))
    assert (stored.epoch, stored.last_signed_ms) == (ledger.epoch, now().signed_ms)


def test_a_run_claims_its_own_batch_and_what_was_recorded_after_it_only(ledger: Ledger) -> None:
    recorded(ledger, 1, "old")
    mine = recorded(ledger, 1, "mine").key
    line = desk(ledger, Scope(batches=frozenset({mine}), newer_than=mine))
    recorded(ledger, 1, "later")
    assert ids(line.turn([], 9, now())) == ["mine-1", "later-1"]
    assert not line.has_claimable()
    assert state_of(ledger, "old", 1) is CommandState.QUEUED


def test_nothing_of_a_batch_that_is_still_being_recorded_is_claimed(ledger: Ledger) -> None:
    recorded(ledger, 2)
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'recording'")
    line = desk(ledger)
    assert ids(line.turn([], 9, now())) == []
    assert not line.has_claimable()


def test_answers_and_claims_of_one_turn_are_one_commit(ledger: Ledger) -> None:
    recorded(ledger, 2)
    line = desk(ledger)
    (first,) = line.turn([], 1, now()).claimed
    turn = line.turn([(first, acknowledged(first))], 1, now(1))
    assert ids(turn) == ["x-2"]
    assert state_of(ledger, "x", 1) is CommandState.ACCEPTED


def test_no_token_left_ends_the_claiming_and_loses_nothing(ledger: Ledger) -> None:
    recorded(ledger, 3)
    line = desk(ledger)
    tokens = iter([True, False])
    assert ids(line.turn([], 3, now(), lambda _: next(tokens))) == ["x-1"]
    assert ids(line.turn([], 3, now())) == ["x-2", "x-3"]


def test_a_command_that_backs_off_is_not_claimed_before_its_time(ledger: Ledger) -> None:
    recorded(ledger, 2)
    line = desk(ledger)
    (first,) = line.turn([], 1, now()).claimed
    back = e.NotProcessed(attempt=1, why="not_sent", not_before_us=NOW_US + 5 * SECOND)
    assert ids(line.turn([(first, back)], 9, now(1))) == ["x-2"]
    assert ids(line.turn([], 9, now(4))) == []
    assert ids(line.turn([], 9, now(5))) == ["x-1"]


# -- time to live


def test_an_order_past_its_time_is_withdrawn_instead_of_claimed(ledger: Ledger) -> None:
    recorded(ledger, 2)
    with ledger.write() as connection:
        connection.exec_driver_sql(f"UPDATE commands SET expires_at_us = {NOW_US + SECOND} WHERE key = 1")
    line = desk(ledger)
    turn = line.turn([], 9, now(1))
    assert ids(turn) == ["x-2"]
    (entry, _) = entries(ledger, 2)
    assert (entry.command.state, entry.order.status) == (CommandState.WITHDRAWN, OrderStatus.UNSENT)
    assert entry.order.reason is Reason.EXPIRED
    assert entry.command.attempts == 0


def test_what_expired_while_it_could_not_be_claimed_is_withdrawn_all_the_same(ledger: Ledger) -> None:
    recorded(ledger, 3)
    with ledger.write() as connection:
        connection.exec_driver_sql(f"UPDATE commands SET expires_at_us = {NOW_US} WHERE key < 3")
    assert withdraw_expired(ledger, NOW_US) == 2
    assert withdraw_expired(ledger, NOW_US) == 0
    assert [x.order.status for x in entries(ledger, 3)] == ["unsent", "unsent", "pending"]


# -- cancels


def test_the_cancel_of_a_queued_order_withdraws_it_and_nothing_of_it_is_sent(ledger: Ledger) -> None:
    """Read ahead in the same turn, the order still looked queued: it was claimed, and every run ended there."""
    recorded(ledger, 2)
    record_cancels(ledger, [entries(ledger, 2)[0].order_key], NOW_US)
    turn = desk(ledger).turn([], 9, now())
    assert ids(turn) == ["x-2"]
    entry = entries(ledger, 2)[0]
    assert (entry.command.state, entry.order.status) == (CommandState.WITHDRAWN, OrderStatus.UNSENT)
    assert entry.order.reason is Reason.CANCEL_REQUESTED
    assert [each for each in check(ledger) if not each.ok] == []


@pytest.mark.fault(92)
def test_a_cancel_recorded_by_another_process_stops_an_order_that_was_read_ahead(ledger: Ledger) -> None:
    recorded(ledger, 3)
    line = desk(ledger)
    line.turn([], 1, now())
    record_cancels(ledger, [x.order_key for x in entries(ledger, 3)[1:]], NOW_US)
    assert ids(line.turn([], 9, now())) == []
    assert [x.order.status for x in entries(ledger, 3)] == ["pending", "unsent", "unsent"]
    assert not line.has_claimable()


def test_cancels_of_orders_in_doubt_wait_and_do_not_stand_in_the_way_of_other_cancels(ledger: Ledger) -> None:
    recorded(ledger, 12)
    *doubtful, last = entries(ledger, 12)
    for entry in doubtful:
        in_doubt(ledger, entry)
    on_wire = tell(ledger, [(last, claimed(last))])[last.command_key]
    tell(ledger, [(on_wire, acknowledged(on_wire))])
    record_cancels(ledger, [x.order_key for x in entries(ledger, 12)], NOW_US)
    line = desk(ledger)
    (claim,) = line.turn([], 1, now()).claimed
    assert (claim.client_order_id, claim.command.kind) == ("x-12", CommandKind.CANCEL)
    assert not line.has_claimable()


def test_the_cancel_of_an_order_that_has_ended_is_moot(ledger: Ledger) -> None:
    recorded(ledger, 1)
    entry = entries(ledger, 1)[0]
    on_wire = tell(ledger, [(entry, claimed(entry))])[entry.command_key]
    tell(ledger, [(on_wire, acknowledged(on_wire, fill_e2=entry.order.count_e2))])
    (key,) = record_cancels(ledger, [entry.order_key], NOW_US)
    turn = desk(ledger).turn([], 9, now())
    assert ids(turn) == []
    (cancel,) = [x for x in turn.settled if x.command_key == key]
    assert (cancel.command.state, cancel.command.reason) == (CommandState.REFUSED, Reason.MOOT)


def test_an_order_has_one_unfinished_cancel_however_often_it_is_asked_for(ledger: Ledger) -> None:
    recorded(ledger, 1)
    order_key = entries(ledger, 1)[0].order_key
    first = record_cancels(ledger, [order_key], NOW_US)
    assert record_cancels(ledger, [order_key], NOW_US + 1) == first


# -- resend = "at_once"


def test_at_once_claims_an_order_in_doubt_again_each_time_after_a_longer_pause(ledger: Ledger) -> None:
    recorded(ledger, 1)
    in_doubt(ledger, entries(ledger, 1)[0])
    line = desk(ledger, at_once=True)
    assert ids(line.turn([], 9, now(0.9))) == []
    (again,) = line.turn([], 9, now(1.1)).claimed
    assert (again.command.attempts, again.command.live) == (2, (1, 2))
    line.turn([(again, e.AttemptUnknown(attempt=2, why="no_answer"))], 9, now(1.2))
    assert ids(line.turn([], 9, now(3.0))) == []
    assert ids(line.turn([], 9, now(3.2))) == ["x-1"]


def test_at_once_sends_no_order_again_whose_cancel_was_asked_for_since_it_was_read_ahead(ledger: Ledger) -> None:
    recorded(ledger, 2)
    for entry in entries(ledger, 2):
        in_doubt(ledger, entry)
    line = desk(ledger, at_once=True)
    assert ids(line.turn([], 1, now(2))) == ["x-1"]
    record_cancels(ledger, [entries(ledger, 2)[1].order_key], NOW_US)
    assert ids(line.turn([], 9, now(2))) == []
    assert state_of(ledger, "x", 2) is CommandState.IN_DOUBT


def test_an_order_in_doubt_is_never_claimed_by_default(ledger: Ledger) -> None:
    recorded(ledger, 1)
    in_doubt(ledger, entries(ledger, 1)[0])
    assert ids(desk(ledger).turn([], 9, now(1_000))) == []


# -- what ends all claiming


@pytest.mark.fault(81)
def test_a_halt_stops_every_claim_and_still_records_answers(ledger: Ledger) -> None:
    recorded(ledger, 2)
    line = desk(ledger)
    (first,) = line.turn([], 1, now()).claimed
    with ledger.write() as connection:
        set_halt(connection, "by hand", NOW_US)
    turn = line.turn([(first, acknowledged(first))], 9, now())
    assert (turn.is_halted, ids(turn)) == (True, [])
    assert state_of(ledger, "x", 1) is CommandState.ACCEPTED


def test_a_second_order_under_one_id_is_recorded_and_halts_claiming_in_the_same_turn(ledger: Ledger) -> None:
    recorded(ledger, 2)
    line = desk(ledger)
    (first,) = line.turn([], 1, now()).claimed
    line.turn([(first, acknowledged(first))], 0, now())
    second = e.Acknowledged(attempt=1, order_id="another", fill_count_e2=0, remaining_count_e2=100, ts_ms=9)
    turn = line.turn([(first, second)], 0, now())
    assert turn.is_halted
    assert line.turn([], 9, now()).is_halted
    assert ids(line.turn([], 9, now())) == []
    entry = entries(ledger, 1)[0]
    assert entry.order.order_id == "at-x-1"
    assert "another" in (entry.order.detail or "")


@pytest.mark.fault(94)
def test_a_run_that_lost_its_epoch_claims_and_records_nothing_more(ledger: Ledger) -> None:
    recorded(ledger, 2)
    line = desk(ledger)
    (first,) = line.turn([], 1, now()).claimed
    before = entries(ledger, 2)
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE ledger SET epoch = epoch + 1")
    with pytest.raises(EpochLost):
        line.turn([(first, acknowledged(first))], 9, now())
    assert entries(ledger, 2) == before


def test_a_ledger_whose_file_was_replaced_claims_nothing_and_stays_unusable(ledger: Ledger) -> None:
    recorded(ledger, 1)
    line = desk(ledger)
    os.rename(ledger.path, ledger.path.with_suffix(".away"))
    ledger.path.touch()
    for _ in range(2):
        with pytest.raises(LedgerReplaced):
            line.turn([], 9, now())


@pytest.mark.fault(86)
def test_a_stored_body_that_is_not_the_one_recorded_is_never_sent(ledger: Ledger) -> None:
    recorded(ledger, 1)
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE events SET data = replace(data, '0.0200', '0.0300')")
    with pytest.raises(LedgerDamaged):
        desk(ledger).turn([], 9, now())
    assert state_of(ledger, "x", 1) is CommandState.QUEUED


# -- a new run


def test_a_new_run_calls_in_doubt_what_a_dead_one_left_on_the_wire(ledger: Ledger) -> None:
    recorded(ledger, 3)
    desk(ledger).turn([], 2, now())
    ledger.end_epoch()
    ledger.locks.take_writer(0)
    ledger.open_epoch(purpose="submit", key_print=None, now_us=NOW_US + SECOND)
    assert open_run(ledger, NOW_US + SECOND) == 2
    assert open_run(ledger, NOW_US + SECOND) == 0
    commands = [x.command for x in entries(ledger, 3)]
    assert [x.state for x in commands] == ["in_doubt", "in_doubt", "queued"]
    assert [x.reason for x in commands] == [Reason.SENDER_DIED, Reason.SENDER_DIED, None]
