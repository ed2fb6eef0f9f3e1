"""Batches into the ledger: whole or not at all, once, and never in the way of a sender."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import NOW_US, acknowledged, batch, claimed, entries, intent, opened, recorded, running, tell

from oms.errors import InputError
from oms.intake.intents import Intent, request_body
from oms.ledger import queries
from oms.ledger.check import check
from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.ledger import Ledger
from oms.ledger.record import CHUNK, NewBatch, clear_if_nobody_records, find_batch, record
from oms.lifecycle.states import CommandState, OrderStatus

DAY_US = 24 * 3600 * 1_000_000


def rows(ledger: Ledger, table: str) -> int:
    with ledger.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def sizes(ledger: Ledger) -> list[int]:
    return [rows(ledger, table) for table in ("batches", "orders", "commands", "events")]


def unnamed(count: int, name: str) -> NewBatch:
    return replace(batch(count, name), name=None, may_share_rows=False)


def derived(number: int, name: str) -> Intent:
    """The same row in every batch, under an id of that batch."""
    return replace(intent(number), client_order_id=f"{name}-{number}")


# -- once


def test_a_batch_is_pending_and_queued_in_the_order_of_its_rows_before_anything_is_sent(ledger: Ledger) -> None:
    made = recorded(ledger, 5)
    assert not made.preexisting
    found = entries(ledger, 5)
    assert [x.command.state for x in found] == [CommandState.QUEUED] * 5
    assert [x.order.status for x in found] == [OrderStatus.PENDING] * 5
    assert [x.command.attempts for x in found] == [0] * 5
    assert [x.command_key for x in found] == sorted(x.command_key for x in found)
    assert [x.body for x in found] == [request_body(intent(n)) for n in range(1, 6)]


def test_the_same_batch_again_changes_nothing_and_is_told_apart(ledger: Ledger) -> None:
    first = recorded(ledger, 3)
    entry = entries(ledger, 1)[0]
    tell(ledger, [(entry, claimed(entry)), (entry, acknowledged(entry))])
    before = sizes(ledger)
    again = recorded(ledger, 3, now_us=NOW_US + DAY_US)
    assert (again.key, again.created_at_us, again.preexisting) == (first.key, first.created_at_us, True)
    assert sizes(ledger) == before


def test_one_key_with_other_content_is_refused_by_name(ledger: Ledger) -> None:
    recorded(ledger, 3)
    before = sizes(ledger)
    other = replace(batch(3), content_digest=hashlib.sha256(b"other").digest())
    with pytest.raises(InputError, match="'x' was recorded before with other rows"):
        record(ledger, other, [], NOW_US)
    assert sizes(ledger) == before


def test_a_callers_id_that_another_batch_holds_is_refused_and_nothing_is_kept(ledger: Ledger) -> None:
    recorded(ledger, 3)
    mine = [replace(intent(n, "y"), own_id=True) for n in (1, 2)]
    mine.append(replace(intent(2, "x"), own_id=True))
    before = sizes(ledger)
    with pytest.raises(InputError, match="client_order_id x-2 belongs to row 2 of batch 'x'"):
        record(ledger, batch(3, "y"), mine, NOW_US)
    assert sizes(ledger) == before
    assert find_batch(ledger, batch(3, "y").key, b"") is None


# -- rows shared with a batch of the last day


def test_an_unnamed_batch_that_shares_a_row_with_a_young_one_is_refused_naming_it(ledger: Ledger) -> None:
    record(ledger, unnamed(2, "a"), [derived(1, "a"), derived(2, "a")], NOW_US)
    before = sizes(ledger)
    with pytest.raises(InputError, match=r"is also row 2 of batch '[0-9a-f]{8,}', recorded less than 24 h ago"):
        record(ledger, unnamed(2, "b"), [derived(9, "b"), derived(2, "b")], NOW_US + DAY_US - 1)
    assert sizes(ledger) == before


def test_a_shared_row_is_allowed_after_a_day_and_in_a_named_batch(ledger: Ledger) -> None:
    record(ledger, unnamed(1, "a"), [derived(1, "a")], NOW_US)
    record(ledger, replace(batch(1, "b")), [derived(1, "b")], NOW_US + 1)
    record(ledger, unnamed(1, "c"), [derived(1, "c")], NOW_US + DAY_US + 1)
    assert rows(ledger, "orders") == 3


def test_equal_rows_within_one_batch_are_different_orders(ledger: Ledger) -> None:
    twins = [replace(intent(1), client_order_id=f"twin-{n}") for n in range(3)]
    record(ledger, unnamed(3, "twins"), twins, NOW_US)
    assert rows(ledger, "orders") == 3


# -- chunks


def test_a_long_batch_is_written_in_chunks_and_cannot_be_claimed_before_its_last_row(ledger: Ledger) -> None:
    seen: list[tuple[int, int]] = []
    line = Desk(ledger, Scope(), at_once=False)

    def progress(done: int) -> None:
        turn = line.turn([], 9, Now(NOW_US, NOW_US // 1000))
        seen.append((done, len(turn.claimed)))
        assert queries.totals(ledger).queued == 0

    count = 2 * CHUNK + 10
    made = record(ledger, batch(count), (intent(n) for n in range(1, count + 1)), NOW_US, progress)
    assert seen == [(CHUNK, 0), (2 * CHUNK, 0), (count, 0)]
    assert queries.totals(ledger).queued == count
    assert len(line.turn([], 9, Now(NOW_US, NOW_US // 1000)).claimed) == 9
    assert [x.batch_key for x in entries(ledger, 1)] == [made.key]


def test_a_short_batch_is_one_transaction(ledger: Ledger, path: Path) -> None:
    watching = sqlite3.connect(path)
    before = watching.execute("PRAGMA data_version").fetchone()[0]
    recorded(ledger, CHUNK)
    assert watching.execute("PRAGMA data_version").fetchone()[0] == before + 1
    watching.close()


@pytest.mark.parametrize("at", [3, CHUNK + 3])
def test_rows_that_turn_out_bad_on_the_way_leave_nothing_behind(ledger: Ledger, at: int) -> None:
    recorded(ledger, 2, "before")
    before = sizes(ledger)

    def failing() -> Iterator[Intent]:
        for number in range(1, at):
            yield intent(number)
        raise InputError("the file has changed")

    with pytest.raises(InputError, match="the file has changed"):
        record(ledger, batch(2 * CHUNK), failing(), NOW_US)
    assert sizes(ledger) == before
    recorded(ledger, 2 * CHUNK)
    assert rows(ledger, "orders") == 2 + 2 * CHUNK


# -- what a crash leaves


def half_recorded(path: Path, count: int) -> None:
    """A recorder that died after its chunks and before the last flip."""
    with closing(running(path)) as ledger:
        recorded(ledger, count, "dead")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE batches SET state = 'recording' WHERE name = 'dead'")
        db.commit()


def test_a_dead_recording_is_cleared_by_the_next_recorder_which_may_use_its_ids(path: Path) -> None:
    half_recorded(path, CHUNK + 5)
    with closing(running(path)) as ledger:
        assert queries.creates_of(ledger, ["dead-1"]) == {}
        assert not recorded(ledger, CHUNK + 5, "dead").preexisting
        assert sizes(ledger) == [1, CHUNK + 5, CHUNK + 5, CHUNK + 5]
        assert [each for each in check(ledger) if not each.ok] == []


def test_a_dead_recording_is_cleared_at_the_start_of_a_run_and_the_others_stay(path: Path) -> None:
    with closing(running(path)) as ledger:
        recorded(ledger, 3, "kept")
    half_recorded(path, CHUNK + 5)
    with closing(running(path)) as ledger:
        clear_if_nobody_records(ledger)
        assert sizes(ledger) == [1, 3, 3, 3]
        assert len(entries(ledger, 3, "kept")) == 3
        assert [each for each in check(ledger) if not each.ok] == []


def test_a_recording_under_way_is_left_alone_by_the_start_of_a_run(path: Path) -> None:
    half_recorded(path, 5)
    with closing(running(path)) as ledger, closing(opened(path)) as recorder, recorder.locks.recording:
        clear_if_nobody_records(ledger)
        assert rows(ledger, "orders") == 5


# -- beside a sender


def test_another_process_records_while_a_run_holds_the_ledger(path: Path) -> None:
    with closing(running(path)) as sender, closing(opened(path)) as other:
        recorded(sender, 2, "a")
        recorded(other, 2, "b")
        turn = Desk(sender, Scope(), at_once=False).turn([], 9, Now(NOW_US, NOW_US // 1000))
        assert [x.client_order_id for x in turn.claimed] == ["a-1", "a-2", "b-1", "b-2"]


def test_the_time_to_live_of_a_batch_and_of_a_row_end_at_the_earlier(ledger: Ledger) -> None:
    lives = replace(batch(3), ttl_us=10)
    given = [
        intent(1),
        replace(intent(2), submit_before_us=NOW_US + 5),
        replace(intent(3), submit_before_us=NOW_US + 50),
    ]
    record(ledger, lives, given, NOW_US)
    assert [x.expires_at_us for x in entries(ledger, 3)] == [NOW_US + 10, NOW_US + 5, NOW_US + 10]
