"""Batches recorded by a run in its own turn, beside whoever else records."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from ledgers import NOW_US, batch, entries, intent, opened, recorded

from oms.errors import InputError
from oms.intake.intents import Intent
from oms.ledger.claim import Desk, Now, Scope
from oms.ledger.ledger import Ledger
from oms.ledger.record import CHUNK, find_batch, record
from oms.ledger.tray import Tray
from oms.lifecycle.states import CommandState

NOW = Now(NOW_US, NOW_US // 1000)


def of(name: str, rows: int, *, own_ids: bool = True) -> list[Intent]:
    return [replace(intent(n, name), own_id=own_ids) for n in range(1, rows + 1)]


def handed(tray: Tray, name: str, rows: int, outcomes: list[object]) -> Thread:
    """Somebody who hands in a batch and notes what he is told."""

    def hand() -> None:
        try:
            outcomes.append(tray.hand(batch(rows, name), of(name, rows), lambda: None))
        except InputError as refused:
            outcomes.append(refused.message)

    asked: list[bool] = []
    tray.on_handed(lambda: asked.append(True))
    thread = Thread(target=hand)
    thread.start()
    while not asked:
        thread.join(0.001)
    return thread


def test_one_turn_records_and_claims_what_was_handed_in_and_only_then_is_anybody_told(ledger: Ledger) -> None:
    tray, outcomes = Tray(), list[object]()
    desk = Desk(ledger, Scope(), at_once=False)
    waiting = handed(tray, "a", 2, outcomes)
    turn = desk.turn([], 5, NOW, record=lambda connection: tray.record(connection, NOW_US))
    assert [entry.client_order_id for entry in turn.claimed] == ["a-1", "a-2"]
    assert outcomes == []
    tray.committed()
    waiting.join(10)
    known = find_batch(ledger, batch(2, "a").key, batch(2, "a").content_digest)
    assert known is not None
    assert outcomes == [replace(known, preexisting=False)]
    assert [entry.command.state for entry in entries(ledger, 2, "a")] == [CommandState.ON_WIRE] * 2


def test_one_that_is_refused_leaves_its_neighbors_alone(ledger: Ledger) -> None:
    recorded(ledger, 1, "taken")
    tray, outcomes = Tray(), list[object]()
    first = handed(tray, "a", 1, outcomes)
    same_id = replace(batch(1, "b"), name="b")

    def hand() -> None:
        with pytest.raises(InputError, match="taken-1 belongs to row 1 of batch 'taken'"):
            tray.hand(same_id, of("taken", 1), lambda: None)

    asked: list[bool] = []
    tray.on_handed(lambda: asked.append(True))
    second = Thread(target=hand)
    second.start()
    while not asked:
        second.join(0.001)
    with ledger.write() as connection:
        tray.record(connection, NOW_US)
    tray.committed()
    for thread in (first, second):
        thread.join(10)
    assert [entry.command.state for entry in entries(ledger, 1, "a")] == [CommandState.QUEUED]
    assert find_batch(ledger, same_id.key, same_id.content_digest) is None


@pytest.mark.parametrize("rows", [3, CHUNK + 1])
def test_a_run_may_record_while_another_process_is_about_to(ledger: Ledger, path: Path, rows: int) -> None:
    """The other one has chosen its keys already when it reads its rows."""
    tray, outcomes = Tray(), list[object]()

    def in_between() -> Iterator[Intent]:
        for number, each in enumerate(of("file", rows), 1):
            if number in (1, CHUNK + 1):
                name = f"line-{number}"
                waiting = handed(tray, name, 1, outcomes)
                with ledger.write() as connection:
                    tray.record(connection, NOW_US)
                tray.committed()
                waiting.join(10)
            yield each

    with closing(opened(path)) as other:
        made = record(other, batch(rows, "file"), in_between(), NOW_US)
    assert len(outcomes) == (1 if rows <= CHUNK else 2)
    assert not any(isinstance(outcome, str) for outcome in outcomes)
    assert len(entries(ledger, rows, "file")) == rows
    assert {entry.batch_key for entry in entries(ledger, rows, "file")} == {made.key}


def test_what_another_process_is_recording_right_now_is_refused_by_name(ledger: Ledger, path: Path) -> None:
    tray, outcomes = Tray(), list[object]()

    def in_between() -> Iterator[Intent]:
        for number, each in enumerate(of("file", CHUNK + 1), 1):
            if number == CHUNK + 1:  # the first chunk is there
                waiting = handed(tray, "file", CHUNK, outcomes)
                with ledger.write() as connection:
                    tray.record(connection, NOW_US)
                tray.committed()
                waiting.join(10)
            yield each

    with closing(opened(path)) as other:
        record(other, batch(CHUNK + 1, "file"), in_between(), NOW_US)
    (said,) = outcomes
    assert "is being recorded by another process right now" in str(said)
