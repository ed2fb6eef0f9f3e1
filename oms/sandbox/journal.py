"""The exchange's own SQLite file: everything it knows, committed before it answers.

Rows collect while a request is handled and are written in one transaction at its end. WAL with
synchronous=OFF: a sandbox must survive its own SIGKILL, which the page cache does; it does not claim to
survive a power cut. Others may read the file while the exchange runs: the view `orders` is the present state.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

IN_MEMORY = ":memory:"
SCHEMA_VERSION = 2

_TABLES = {
    "meta": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
    "keys": (
        "key_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, public_pem TEXT NOT NULL, "
        "scopes TEXT NOT NULL, subaccount INTEGER"
    ),
    "markets": "n INTEGER PRIMARY KEY, ticker TEXT NOT NULL, document TEXT NOT NULL",
    "placed": (
        "seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, user_id TEXT NOT NULL, client_order_id TEXT NOT NULL, "
        "ticker TEXT NOT NULL, side TEXT NOT NULL, count_e2 INTEGER NOT NULL, price_e4 INTEGER NOT NULL, "
        "subaccount INTEGER NOT NULL, exchange_index INTEGER NOT NULL, created_us INTEGER NOT NULL, "
        "ticket TEXT NOT NULL"
    ),
    "versions": (
        "seq INTEGER NOT NULL, version INTEGER NOT NULL, at_us INTEGER NOT NULL, shown_us INTEGER NOT NULL, "
        "status TEXT NOT NULL CHECK (status IN ('resting', 'executed', 'canceled')), price_e4 INTEGER NOT NULL, "
        "initial_e2 INTEGER NOT NULL, fill_e2 INTEGER NOT NULL, remaining_e2 INTEGER NOT NULL, "
        "taker_cost_e6 INTEGER NOT NULL, maker_cost_e6 INTEGER NOT NULL, taker_fees_e6 INTEGER NOT NULL, "
        "maker_fees_e6 INTEGER NOT NULL, reserved_e6 INTEGER NOT NULL, closing_e2 INTEGER NOT NULL, "
        "expiration_time INTEGER, place INTEGER NOT NULL, reason TEXT NOT NULL, "
        "client_order_id TEXT NOT NULL DEFAULT '', PRIMARY KEY (seq, version)"
    ),
    "trades": (
        "n INTEGER PRIMARY KEY, trade_id TEXT NOT NULL, ticker TEXT NOT NULL, price_e4 INTEGER NOT NULL, "
        "count_e2 INTEGER NOT NULL, taker_side TEXT NOT NULL, at_us INTEGER NOT NULL"
    ),
    "fills": (
        "n INTEGER PRIMARY KEY, trade_id TEXT NOT NULL, seq INTEGER NOT NULL, user_id TEXT NOT NULL, "
        "price_e4 INTEGER NOT NULL, count_e2 INTEGER NOT NULL, is_taker INTEGER NOT NULL, fee_e6 INTEGER NOT NULL, "
        "at_us INTEGER NOT NULL, shown_us INTEGER NOT NULL"
    ),
    "purses": (
        "n INTEGER PRIMARY KEY, user_id TEXT NOT NULL, subaccount INTEGER NOT NULL, exchange_index INTEGER NOT NULL, "
        "at_us INTEGER NOT NULL, shown_us INTEGER NOT NULL, cash_e6 INTEGER NOT NULL, reserved_e6 INTEGER NOT NULL"
    ),
    "holdings": (
        "n INTEGER PRIMARY KEY, user_id TEXT NOT NULL, subaccount INTEGER NOT NULL, ticker TEXT NOT NULL, "
        "at_us INTEGER NOT NULL, shown_us INTEGER NOT NULL, position_e2 INTEGER NOT NULL, "
        "exposure_e6 INTEGER NOT NULL, realized_e6 INTEGER NOT NULL, "
        "fees_e6 INTEGER NOT NULL, traded_e6 INTEGER NOT NULL"
    ),
    "settlements": (
        "n INTEGER PRIMARY KEY, user_id TEXT NOT NULL, ticker TEXT NOT NULL, subaccount INTEGER NOT NULL, "
        "result TEXT NOT NULL, position_e2 INTEGER NOT NULL, cost_e6 INTEGER NOT NULL, revenue_e6 INTEGER NOT NULL, "
        "fees_e6 INTEGER NOT NULL, at_us INTEGER NOT NULL, value_e4 INTEGER"
    ),
    "order_groups": "n INTEGER PRIMARY KEY, group_id TEXT NOT NULL, document TEXT NOT NULL",
    "netting": (
        "user_id TEXT NOT NULL, subaccount INTEGER NOT NULL, is_netting INTEGER NOT NULL, "
        "PRIMARY KEY (user_id, subaccount)"
    ),
    "movements": "n INTEGER PRIMARY KEY, user_id TEXT NOT NULL, document TEXT NOT NULL",
    "burned": "n INTEGER PRIMARY KEY, user_id TEXT NOT NULL, client_order_id TEXT NOT NULL, at_us INTEGER NOT NULL",
    "wire": (
        "seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, "
        "query TEXT NOT NULL, operation TEXT NOT NULL, key_id TEXT, signed_ms INTEGER, client_order_ids TEXT NOT NULL, "
        "body_sha256 TEXT NOT NULL, body_bytes INTEGER NOT NULL, status INTEGER, fault TEXT, "
        "committed INTEGER NOT NULL, arrival_of INTEGER"
    ),
}

# What a file of an older schema lacks, besides whole tables.
_SINCE = {
    1: (
        "ALTER TABLE versions ADD COLUMN client_order_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE settlements ADD COLUMN value_e4 INTEGER",
    )
}

_WITHOUT_ROWID = {"meta", "keys", "versions"}

_ORDERS_VIEW = """
CREATE VIEW orders AS
SELECT p.seq, p.order_id, p.client_order_id, p.user_id, p.ticker, p.side, p.subaccount, p.exchange_index,
       p.created_us, v.status, v.price_e4, v.initial_e2, v.fill_e2, v.remaining_e2, v.taker_cost_e6, v.maker_cost_e6,
       v.taker_fees_e6, v.maker_fees_e6, v.at_us AS updated_us, v.expiration_time, v.reason, v.version
FROM placed p JOIN versions v ON v.seq = p.seq
WHERE v.version = (SELECT MAX(version) FROM versions w WHERE w.seq = p.seq)
"""


class Journal:
    """Buffers rows and commits them. `path` is a file or IN_MEMORY."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA busy_timeout = 10000")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._insert: dict[str, str] = {}
        self._prepare()

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= SCHEMA_VERSION:
            raise RuntimeError(f"the sandbox's file has schema {version}, this program knows {SCHEMA_VERSION}")
        if version < SCHEMA_VERSION:
            self._db.execute("BEGIN IMMEDIATE")
            for table, columns in _TABLES.items():
                tail = "STRICT, WITHOUT ROWID" if table in _WITHOUT_ROWID else "STRICT"
                self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {tail}")
            if version == 0:
                self._db.execute(_ORDERS_VIEW)
            for change in _SINCE.get(version, ()):
                self._db.execute(change)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute("COMMIT")
        for table in _TABLES:
            width = len(self._db.execute(f"SELECT * FROM {table} LIMIT 0").description)  # noqa: S608, own names
            self._insert[table] = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * width)})"  # noqa: S608

    def add(self, table: str, row: tuple[Any, ...]) -> None:
        """Remember a row for the next commit. Tables with a single-column key take the row as a replacement."""
        self._rows.setdefault(table, []).append(row)

    @property
    def is_changed(self) -> bool:
        """Is anything but the wire log waiting to be committed?"""
        return any(table != "wire" for table in self._rows)

    def commit(self) -> None:
        """Write what was added. Once it returns, a SIGKILL of this process loses nothing of it."""
        if not self._rows:
            return
        rows, self._rows = self._rows, {}
        self._db.execute("BEGIN IMMEDIATE")
        for table, waiting in rows.items():
            if len(waiting) == 1:
                self._db.execute(self._insert[table], waiting[0])
            else:
                self._db.executemany(self._insert[table], waiting)
        self._db.execute("COMMIT")

    def read(self, table: str, where: str = "", values: Iterable[Any] = (), limit: int = -1) -> list[sqlite3.Row]:
        """All rows of a table in the order of its key, or those that a condition selects."""
        condition = f"WHERE {where}" if where else ""
        return self._db.execute(
            f"SELECT * FROM {table} {condition} ORDER BY 1, 2 LIMIT {limit}",  # noqa: S608, own names
            tuple(values),
        ).fetchall()

    def last(self, table: str) -> int:
        """The highest number in the table's first column, 0 for none."""
        column = self._db.execute(f"SELECT * FROM {table} LIMIT 0").description[0][0]  # noqa: S608, own names
        found: int | None = self._db.execute(f"SELECT MAX({column}) FROM {table}").fetchone()[0]  # noqa: S608
        return found or 0

    def close(self) -> None:
        """Close the file; rows not committed are dropped."""
        self._db.close()
