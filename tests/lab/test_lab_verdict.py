"""The judge finds what is planted: it is asked about files that agree, and about each way of not agreeing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from oms.lab.verdict import arrived, judge, tally
from oms.ledger.schema import metadata
from oms.sandbox.journal import Journal

ME = "me"


def rows_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


def change(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute(statement, values).rowcount > 0
        database.commit()


def insert(database: sqlite3.Connection, table: str, **given: Any) -> None:
    """A row with something acceptable in every column that is not given."""
    filler = {"TEXT": "", "INTEGER": 0, "BLOB": b""}
    columns = database.execute(f"PRAGMA table_info({table})").fetchall()
    row = {name: filler[kind] if not_null else None for _, name, kind, not_null, _, _ in columns} | given
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Three orders: one executed by one trade, one resting, one rejected."""
    path = tmp_path / "ledger.sqlite3"
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(path)) as database:
        insert(database, "batches", key=1, batch_key="b", source="file", state="recorded", row_count=3)
        for key, status in enumerate(("executed", "resting", "rejected"), start=1):
            at_exchange = status != "rejected"
            filled = 500 if status == "executed" else 0
            insert(
                database,
                "orders",
                key=key,
                client_order_id=f"c{key}",
                batch_key=1,
                row=key,
                ticker="T",
                side="bid",
                price_e6=400_000,
                count_e2=500,
                time_in_force="good_till_canceled",
                action="buy",
                outcome="yes",
                self_trade_prevention_type="maker",
                status=status,
                fill_count_e2=filled,
                order_id=f"o{key}" if at_exchange else None,
                remaining_count_e2=500 - filled if at_exchange else None,
                reason=None if at_exchange else "refused",
            )
            state = "accepted" if at_exchange else "refused"
            insert(
                database,
                "commands",
                key=key,
                order_key=key,
                batch_key=1,
                kind="create",
                state=state,
                attempts=1,
                live="",
                first_signed_ms=1,
                last_signed_ms=1,
                epoch=1,
            )
        insert(
            database,
            "fills",
            trade_id="t1",
            order_key=1,
            order_id="o1",
            ticker="T",
            side="bid",
            count_e2=500,
            price_e6=400_000,
            fee_e6=7,
            is_taker=1,
        )
        insert(database, "positions", ticker="T", subaccount=0, position_e2=500)
        database.commit()
    return path


@pytest.fixture
def exchange(tmp_path: Path) -> Path:
    """The same two orders at the exchange, among those of strangers."""
    path = tmp_path / "exchange.sqlite3"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        insert(database, "meta", name="user_id", value=ME)
        for seq, status in enumerate(("executed", "resting"), start=1):
            place(database, seq, f"c{seq}", status)
        for seq in (8, 9):
            place(database, seq, "", "resting", user_id="stranger")
        insert(database, "trades", n=1, trade_id="t1", ticker="T", price_e4=4000, count_e2=500)
        insert(database, "fills", n=1, trade_id="t1", seq=1, user_id=ME, price_e4=4000, fee_e6=7)
        for n, position in enumerate((200, 500), start=1):
            insert(database, "holdings", n=n, user_id=ME, ticker="T", subaccount=0, position_e2=position)
        insert(database, "wire", seq=1, operation="CreateOrderV2", client_order_ids="c1")
        insert(database, "wire", seq=2, operation="BatchCreateOrdersV2", client_order_ids="c1,c2")
        insert(database, "wire", seq=3, operation="GetOrders", client_order_ids="")
        database.commit()
    return path


def place(database: sqlite3.Connection, seq: int, client_order_id: str, status: str, user_id: str = ME) -> None:
    filled = 500 if status == "executed" else 0
    insert(
        database,
        "placed",
        seq=seq,
        order_id=f"o{seq}",
        client_order_id=client_order_id,
        user_id=user_id,
        ticker="T",
        side="bid",
        count_e2=500,
        price_e4=4000,
    )
    insert(database, "versions", seq=seq, version=1, status="resting", price_e4=4000, initial_e2=500, remaining_e2=500)
    insert(
        database,
        "versions",
        seq=seq,
        version=2,
        status=status,
        price_e4=4000,
        initial_e2=500,
        fill_e2=filled,
        remaining_e2=500 - filled,
    )


def test_files_that_agree_give_no_finding(ledger: Path, exchange: Path) -> None:
    assert judge(ledger, exchange) == []
    assert tally(ledger, exchange) == (3, 2)
    assert arrived(exchange) == {"c1", "c2"}


def duplicate(_: Path, exchange: Path) -> None:
    with closing(sqlite3.connect(exchange)) as database:
        place(database, 3, "c2", "resting")
        database.commit()


def lost(_: Path, exchange: Path) -> None:
    change(exchange, "DELETE FROM placed WHERE seq = 2")


def stray(_: Path, exchange: Path) -> None:
    with closing(sqlite3.connect(exchange)) as database:
        place(database, 3, "c9", "resting")
        database.commit()


def rejected_yet_there(_: Path, exchange: Path) -> None:
    with closing(sqlite3.connect(exchange)) as database:
        place(database, 3, "c3", "resting")
        database.commit()


def forgotten(ledger: Path, _: Path) -> None:
    change(ledger, "DELETE FROM commands WHERE order_key = 2")
    change(ledger, "DELETE FROM orders WHERE key = 2")


def doubtful(ledger: Path, _: Path) -> None:
    change(ledger, "UPDATE commands SET state = 'in_doubt', live = '1' WHERE key = 3")


PLANTED: list[tuple[Callable[[Path, Path], None], str]] = [
    (duplicate, "duplicate: 2 orders at the exchange under c2"),
    (lost, "lost: c2 is resting in the ledger, and the exchange has no such order"),
    (stray, "not ours: order o3 (c9) is at the exchange and in no ledger"),
    (rejected_yet_there, "unknown: c3 is rejected in the ledger, and resting at the exchange"),
    (forgotten, "not ours: order o2 (c2) is at the exchange and in no ledger"),
    (doubtful, "unfinished: create of c3 is in_doubt"),
]


@pytest.mark.parametrize(("plant", "finding"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_planted_is_found(
    ledger: Path, exchange: Path, plant: Callable[[Path, Path], None], finding: str
) -> None:
    plant(ledger, exchange)
    assert judge(ledger, exchange)[0] == finding


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE orders SET order_id = 'x' WHERE key = 2", "differs: c2 order_id"),
        ("UPDATE orders SET status = 'canceled' WHERE key = 2", "differs: c2 status"),
        ("UPDATE orders SET side = 'ask' WHERE key = 2", "differs: c2 side"),
        ("UPDATE orders SET price_e6 = 400001 WHERE key = 2", "differs: c2 price_e6"),
        ("UPDATE orders SET count_e2 = 501 WHERE key = 2", "differs: c2 count_e2"),
        ("UPDATE orders SET fill_count_e2 = 1 WHERE key = 2", "differs: c2 fill_count_e2"),
        ("UPDATE orders SET remaining_count_e2 = 1 WHERE key = 2", "differs: c2 remaining_count_e2"),
        ("UPDATE fills SET fee_e6 = 8", "trade: t1"),
        ("DELETE FROM fills", "trade: t1"),
        ("UPDATE positions SET position_e2 = 499", "position: T is 499 in the ledger, 500 at the exchange"),
        ("DELETE FROM positions", "position: T is 0 in the ledger, 500 at the exchange"),
    ],
)
def test_every_difference_of_an_order_is_found(ledger: Path, exchange: Path, statement: str, finding: str) -> None:
    change(ledger, statement)
    (said,) = judge(ledger, exchange)
    assert said.startswith(finding)


def test_judging_changes_neither_file(ledger: Path, exchange: Path) -> None:
    before = {path: path.read_bytes() for path in (ledger, exchange)}
    judge(ledger, exchange)
    assert {path: path.read_bytes() for path in before} == before
    assert rows_of(ledger, "orders") == 3


def test_a_file_that_is_none_is_an_error_and_never_agreement(ledger: Path, exchange: Path, tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        judge(tmp_path / "missing", exchange)
    with pytest.raises(sqlite3.Error):
        judge(exchange, ledger)
