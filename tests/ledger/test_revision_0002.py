"""A ledger of revision 0001, as an oms of then left it (`ledger_0001.sql`), is the same ledger in today's tables."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oms.ledger import schema, upgrade
from oms.ledger.check import check
from oms.ledger.ledger import open_ledger

OLD = Path(__file__).with_name("ledger_0001.sql")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """One batch (resting, executed, canceled, amended elsewhere, rejected), one single order, a trade, a balance."""
    path = tmp_path / "ledger.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(OLD.read_text())
        database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        database.execute("PRAGMA journal_mode = WAL")
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def test_an_old_ledger_keeps_every_row_and_checks_out(path: Path) -> None:
    kept = {name: rows(path, f"SELECT * FROM {name}") for name in ("events", "batches", "epochs", "watermarks")}
    before = rows(path, "SELECT key, client_order_id, price_e6, count_e2, status, order_id, chain_hash FROM orders")
    trades = rows(path, "SELECT trade_id, order_key, count_e2, price_e6, fee_e6 FROM fills")
    assert upgrade.upgrade(path, "0001", allowed=True) is not None
    assert {name: rows(path, f"SELECT * FROM {name}") for name in kept} == kept
    assert trades
    assert rows(path, "SELECT trade_id, order_key, count_e2, price_e6, fee_e6 FROM fills") == trades
    query = "SELECT key, client_order_id, price_e6, count_e2, status, order_id, chain_hash FROM orders"
    assert rows(path, query) == before
    ledger = open_ledger(f"sqlite:///{path}", "sandbox", create=False)
    try:
        assert [(found.name, found.seen) for found in check(ledger) if not found.ok] == []
    finally:
        ledger.close()


def test_what_was_amended_elsewhere_rests_at_those_terms(path: Path) -> None:
    upgrade.upgrade(path, "0001", allowed=True)
    query = "SELECT price_e6, count_e2, working_price_e6, working_count_e2 FROM orders WHERE terms_elsewhere = 1"
    assert rows(path, query) == [(30_000, 500, 40_000, 600)]
    same = "(working_price_e6, working_count_e2) = (price_e6, count_e2)"
    rest = f"SELECT count(*) FROM orders WHERE terms_elsewhere = 0 AND NOT {same}"
    assert rows(path, rest) == [(0,)]


def test_a_balance_is_the_first_of_its_history(path: Path) -> None:
    before = rows(path, "SELECT subaccount, as_of_ms, balance_e6, portfolio_value_e6 FROM balances")
    assert before
    upgrade.upgrade(path, "0001", allowed=True)
    assert rows(path, "SELECT subaccount, as_of_ms, balance_e6, portfolio_value_e6 FROM balances") == before


def test_a_balance_that_was_read_before_its_last_change_was_told_keeps_its_instant(path: Path) -> None:
    before = rows(path, "SELECT subaccount, as_of_ms, balance_e6 FROM balances")
    assert before
    upgrade.upgrade(path, "0001", allowed=True)
    assert rows(path, "SELECT subaccount, as_of_ms, balance_e6 FROM balances WHERE updated_ts IS NULL") == before
