"""The exchange's file through time: one of an earlier version is brought up to date, one of a later is refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oms.sandbox.journal import SCHEMA_VERSION, Journal
from tests.sandbox.stepping import ORDERS, TICKER, Steps

TABLES_OF_SCHEMA_1 = {
    *("meta", "keys", "markets", "placed", "versions", "trades", "fills"),
    *("purses", "holdings", "settlements", "burned", "wire"),
}


def as_of_schema_1(path: Path) -> None:
    """Make a file what the first version of the sandbox would have left."""
    with closing(sqlite3.connect(path)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(tables) - TABLES_OF_SCHEMA_1:
            db.execute(f"DROP TABLE {table}")
        db.execute("ALTER TABLE versions DROP COLUMN client_order_id")
        db.execute("PRAGMA user_version = 1")
        db.commit()


def test_a_file_of_the_first_schema_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "exchange.sqlite3"
    steps = Steps(path)
    order_id = steps.create(client_order_id="one", count="5.00", price="0.0200").json["order_id"]
    before = steps.get("/portfolio/orders"), steps.get("/markets")
    steps.exchange.state.journal.close()
    as_of_schema_1(path)
    steps = Steps(path)
    assert (steps.get("/portfolio/orders"), steps.get("/markets")) == before
    amend = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "2.00", "updated_client_order_id": "two"}
    assert steps.call("POST", f"{ORDERS}/{order_id}/amend", amend).status == 200
    steps.reopen()
    assert [row["client_order_id"] for row in steps.listed()] == ["two"]


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exchange.sqlite3"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(RuntimeError, match=f"schema {SCHEMA_VERSION + 1}"):
        Journal(path)
