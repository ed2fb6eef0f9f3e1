"""Nothing is sent before a power cut could no longer take its record (P1, I1), and wrong settings are noticed."""

import sqlite3
from pathlib import Path

import pytest

from oms.ledger import engine
from oms.ledger.changes import record_cancels
from oms.ledger.claim import Desk, Now, Scope, open_run
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind
from tests.lab.power.disk import Disk
from tests.lab.power.witness import Witness
from tests.ledger.ledgers import NOW_US, acknowledged, entries, recorded, running

ROWS = 12


def send(ledger: Ledger, witness: Witness, at_once: int, *, creates: bool = True) -> None:
    """All turns of a run that sends so many at a time; the exchange takes everything."""
    desk = Desk(ledger, Scope(creates=creates), at_once=False)
    answers: list[tuple[Entry, e.Event]] = []
    for n in range(1, 60):
        claimed = desk.turn(answers, at_once, Now(NOW_US + n, NOW_US // 1000 + n)).claimed
        if not claimed:
            return
        for entry in claimed:
            is_cancel = entry.command.kind is CommandKind.CANCEL
            name = str(entry.order.order_id) if is_cancel else entry.client_order_id
            witness.sees([name], int(entry.command.last_signed_ms or 0))
        answers = [(entry, _answer(entry)) for entry in claimed]
    raise AssertionError("it never ends")


def _answer(entry: Entry) -> e.Event:
    if entry.command.kind is CommandKind.CANCEL:
        order = entry.order
        return e.CancelAcknowledged(
            attempt=1, order_id=str(order.order_id), reduced_by_e2=order.count_e2, ts_ms=NOW_US // 1000 + 9
        )
    return acknowledged(entry)


def watched_run(disk: Disk, folder: Path, at_once: int) -> Witness:
    path = folder / "oms.sqlite3"
    witness = Witness(disk, path)
    ledger = running(path)
    try:
        recorded(ledger, ROWS)
        open_run(ledger, NOW_US)
        send(ledger, witness, at_once)
        record_cancels(ledger, [entry.order_key for entry in entries(ledger, 4)], NOW_US + 100)
        send(ledger, witness, at_once, creates=False)
    finally:
        ledger.close()
    return witness


@pytest.mark.parametrize("at_once", [1, 5])
def test_every_send_is_on_the_disk_before_it_leaves(disk: Disk, folder: Path, at_once: int) -> None:
    witness = watched_run(disk, folder, at_once)
    assert witness.sends == ROWS + 4
    assert witness.breaches == []


def _with(journal: str, synchronous: str) -> object:
    def configure(connection: sqlite3.Connection, *, writable: bool) -> None:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        if writable:
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA journal_mode = {journal}")

    return configure


@pytest.mark.parametrize(
    ("journal", "synchronous"), [("WAL", "NORMAL"), ("WAL", "OFF"), ("DELETE", "FULL"), ("DELETE", "OFF")]
)
def test_a_ledger_with_settings_that_lose_commits_is_caught_at_a_send(
    disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch, journal: str, synchronous: str
) -> None:
    monkeypatch.setattr(engine, "_configure", _with(journal, synchronous))
    witness = watched_run(disk, folder, 1)
    assert len(witness.breaches) >= witness.sends - 2


@pytest.mark.parametrize(("journal", "synchronous"), [("WAL", "EXTRA"), ("WAL", "FULL"), ("DELETE", "EXTRA")])
def test_a_ledger_with_settings_that_keep_commits_passes(
    disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch, journal: str, synchronous: str
) -> None:
    monkeypatch.setattr(engine, "_configure", _with(journal, synchronous))
    assert watched_run(disk, folder, 1).breaches == []


def test_a_disk_that_lies_is_caught_at_a_send(disk: Disk, folder: Path) -> None:
    disk.lies = True
    assert watched_run(disk, folder, 1).breaches
