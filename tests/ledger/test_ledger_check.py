"""`oms db check` finds every kind of damage, and a start finds what the newest events show."""

import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import entries, recorded, running, tell, used

from oms.errors import LedgerDamaged
from oms.ledger.changes import record_cancels
from oms.ledger.check import check, check_tail
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.records import CheckRecord

NAMES = {
    "pages and indexes",
    "tables",
    "references",
    "batches",
    "chains of events",
    "intents and requests",
    "rows against events",
    "trades",
    "actions",
}


def damaged(path: Path, *statements: str) -> None:
    """Change the file behind the ledger's back, as an editor or a bug would."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement


def wrong(ledger: Ledger) -> dict[str, CheckRecord]:
    found = {each.name: each for each in check(ledger)}
    assert set(found) == NAMES
    return {name: each for name, each in found.items() if not each.ok}


def test_a_used_ledger_passes_every_check(path: Path) -> None:
    with closing(used(path)) as ledger:
        record_cancels(ledger, [1, 2], 5)
        assert wrong(ledger) == {}
        check_tail(ledger)


def test_an_empty_ledger_passes_every_check(path: Path) -> None:
    with closing(running(path)) as ledger:
        assert wrong(ledger) == {}
        check_tail(ledger)


DAMAGE = {
    "an event changed": (
        "UPDATE events SET data = replace(data, 'no_answer', 'http_408') WHERE n = 3",
        "chains of events",
    ),
    "an event removed from the middle": ("DELETE FROM events WHERE order_key = 2 AND n = 3", "chains of events"),
    "the newest event removed": (
        "DELETE FROM events WHERE order_key = 2 AND n = (SELECT max(n) FROM events WHERE order_key = 2)",
        "chains of events",
    ),
    "an event added": (
        "INSERT INTO events SELECT 999, order_key, 99, command_key, epoch, at_us, kind, data, hash FROM events"
        " WHERE order_key = 1 AND n = 2",
        "chains of events",
    ),
    "an event moved to another order": (
        "UPDATE events SET order_key = 6, n = 2 WHERE order_key = 1 AND n = 2",
        "chains of events",
    ),
    "the time of an event": ("UPDATE events SET at_us = at_us + 1 WHERE order_key = 1 AND n = 1", "chains of events"),
    "a status": ("UPDATE orders SET status = 'canceled' WHERE key = 1", "rows against events"),
    "a fill count": ("UPDATE orders SET fill_count_e2 = 0 WHERE key = 2", "rows against events"),
    "a state": ("UPDATE commands SET state = 'queued', live = '' WHERE order_key = 4", "rows against events"),
    "a live attempt": ("UPDATE commands SET live = '1,2' WHERE order_key = 4", "rows against events"),
    "a command removed": ("DELETE FROM commands WHERE order_key = 1", "rows against events"),
    "a price": ("UPDATE orders SET price_e6 = 990000 WHERE key = 6", "intents and requests"),
    "a digest": ("UPDATE commands SET digest = x'00' WHERE order_key = 6", "intents and requests"),
    "what was entered": ("UPDATE orders SET outcome = 'no' WHERE key = 6", "intents and requests"),
    "the row's digest": ("UPDATE orders SET row_digest = x'00' WHERE key = 6", "intents and requests"),
    "the event a command names": ("UPDATE commands SET recorded_seq = 1 WHERE order_key = 6", "intents and requests"),
    "a trade removed": ("DELETE FROM fills", "trades"),
    "a trade's price": ("UPDATE fills SET price_e6 = price_e6 + 1", "trades"),
    "an order removed": ("DELETE FROM orders WHERE key = 6", "references"),
    "a row's number": ("UPDATE orders SET row = 99 WHERE key = 6", "batches"),
    "the size of a batch": ("UPDATE batches SET row_count = 11", "batches"),
}


@pytest.mark.fault(29, 86)
@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_named(path: Path, what: str) -> None:
    statement, name = DAMAGE[what]
    with closing(used(path)):
        pass
    damaged(path, statement)
    with closing(running(path)) as ledger:
        found = wrong(ledger)
        assert name in found
        assert "oms db restore" in found[name].fix


def test_an_event_of_a_kind_this_program_does_not_know_is_named(path: Path) -> None:
    with closing(used(path)):
        pass
    damaged(path, "UPDATE events SET kind = 'abducted' WHERE order_key = 1 AND n = 2")
    with closing(running(path)) as ledger:
        assert "abducted" in wrong(ledger)["rows against events"].seen


def test_many_problems_are_counted_and_a_few_named(path: Path) -> None:
    with closing(used(path, 60)):
        pass
    damaged(path, "UPDATE orders SET fees_e6 = 7")
    with closing(running(path)) as ledger:
        seen = wrong(ledger)["rows against events"].seen
        assert seen.count("fees_e6") == 5
        assert seen.endswith("and 55 more")


@pytest.mark.fault(29)
def test_a_start_refuses_a_ledger_whose_newest_events_were_torn(path: Path) -> None:
    with closing(used(path)):
        pass
    damaged(path, "UPDATE events SET hash = x'00' WHERE seq = (SELECT max(seq) FROM events)")
    with closing(running(path)) as ledger, pytest.raises(LedgerDamaged, match="order x-"):
        check_tail(ledger)


@pytest.mark.fault(29)
def test_a_start_refuses_a_ledger_that_has_lost_an_order(path: Path) -> None:
    with closing(used(path)):
        pass
    damaged(path, "DELETE FROM orders WHERE key = 12")
    with closing(running(path)) as ledger, pytest.raises(LedgerDamaged, match="orders that are not there"):
        check_tail(ledger)


@pytest.mark.fault(38)
def test_a_start_reads_only_the_tail(path: Path) -> None:
    with closing(used(path)) as ledger:
        recorded(ledger, 5, name="later")
    damaged(path, "UPDATE events SET hash = x'00' WHERE seq = 1")
    with closing(running(path)) as ledger:
        check_tail(ledger, most=5)
        with pytest.raises(LedgerDamaged, match="order x-1:"):
            check_tail(ledger, most=1000)


@pytest.mark.fault(29)
def test_a_broken_page_is_found(path: Path) -> None:
    with closing(used(path, 600)):
        pass
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 200)
    with closing(running(path)) as ledger:
        found = {each.name: each.ok for each in check(ledger)}
        assert set(found) == NAMES
        assert found["pages and indexes"] is False


DAMAGED_NAME = """
UPDATE sqlite_master SET sql = replace(sql, 'created_at_us', 'creatdd_at_us') WHERE name = 'orders'
"""


@pytest.mark.fault(29)
def test_a_damaged_name_of_a_column_is_found(path: Path) -> None:
    """SQLite keeps its tables as text; a bit flipped in a name that no statement asks for breaks nothing else."""
    with closing(used(path)):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(DAMAGED_NAME)
    with closing(running(path)) as ledger:
        found = wrong(ledger)
        assert set(found) == {"tables"}
        assert "table orders differs from its revision in creatdd_at_us, created_at_us" in found["tables"].seen


@pytest.mark.fault(38)
def test_a_check_needs_the_same_memory_for_more_orders(path: Path, tmp_path: Path) -> None:
    peaks = []
    for rows, place in ((600, path), (4_000, tmp_path / "more.sqlite3")):
        with closing(running(place)) as ledger:
            recorded(ledger, rows)
            tracemalloc.start()
            assert wrong(ledger) == {}
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.fault(33)
def test_a_check_runs_beside_a_sender(path: Path) -> None:
    with closing(used(path, 1_200)) as ledger:
        done: list[int] = []

        def meanwhile(orders: int) -> None:
            done.append(orders)
            entry = entries(ledger, 1)[0]
            tell(ledger, [(entry, e.DuplicateSeen(source="orders", order_id=f"other-{orders}"))])

        assert [each.name for each in check(ledger, progress=meanwhile) if not each.ok] == []
        assert done == [500, 1_000, 1_200]
