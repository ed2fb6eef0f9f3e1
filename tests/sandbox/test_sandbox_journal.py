"""The exchange's file through time: one of an earlier version is brought up to date, one of a later is refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oms.sandbox.journal import SCHEMA_VERSION, Journal
from tests.sandbox.stepping import ORDERS, SPORTS, TICKER, Steps

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
        db.execute("ALTER TABLE settlements DROP COLUMN value_e4")
        db.execute("UPDATE markets SET document = json_remove(document, '$.value_e4', '$.closes_us')")
        db.execute("PRAGMA user_version = 1")
        db.commit()


def test_a_file_of_the_first_schema_is_taken_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "exchange.sqlite3"
    steps = Steps(path)
    order_id = steps.create(client_order_id="one", count="5.00", price="0.0200").json["order_id"]
    steps.create(price="0.9900", ticker=SPORTS, time_in_force="immediate_or_cancel")
    steps.control(market={"ticker": SPORTS, "status": "settled", "result": "yes"})
    paths = ("/portfolio/orders", "/markets", "/portfolio/settlements", "/portfolio/positions")
    before = [steps.get(path) for path in paths]
    steps.exchange.state.journal.close()
    as_of_schema_1(path)
    steps = Steps(path)
    assert [steps.get(path) for path in paths] == before
    amend = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "2.00", "updated_client_order_id": "two"}
    assert steps.call("POST", f"{ORDERS}/{order_id}/amend", amend).status == 200
    steps.reopen()
    assert [row["client_order_id"] for row in steps.listed(status="resting")] == ["two"]


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exchange.sqlite3"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(RuntimeError, match=f"schema {SCHEMA_VERSION + 1}"):
        Journal(path)
