"""What the judge reads of a ledger: its rows as they are, of one moment, and nothing else ever.

The file is opened read-only. One that nobody has open (no write-ahead log beside it) is read without a lock or a new
file beside it; one in use is read as any reader of SQLite does, which neither waits for the writer nor holds it up.
The whole ledger is held in memory, some 8 kB an order; reading it in portions would lift that.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

Row = dict[str, Any]
T = TypeVar("T")

# The revisions whose tables the judge knows. A test holds the last one equal to the ledger's own.
REVISIONS = ("0002", "0003", "0004")
APPLICATION_ID = 0x4F4D534C  # "OMSL", docs/ledger.md
# The tables with the order in which their rows are wanted.
TABLES = {
    "ledger": "id",
    "epochs": "epoch",
    "batches": "key",
    "orders": "key",
    "commands": "key",
    "events": "seq",
    "fills": "trade_id",
    "positions": "ticker",
    "controls": "name",
    "actions": "key",
    "action_events": "seq",
}
_WAIT_S = 10


@dataclass(frozen=True, slots=True)
class Ledger:
    """The rows of a ledger's tables. Where the revision is unknown there are none: their meaning is unknown too."""

    revisions: Sequence[str]
    application_id: int
    tables: dict[str, list[Row]]
    mark: Row | None  # the file beside it that says how far it once was

    def __getitem__(self, table: str) -> list[Row]:
        return self.tables.get(table, [])

    @property
    def is_known(self) -> bool:
        return len(self.revisions) == 1 and self.revisions[0] in REVISIONS


def read_ledger(path: Path) -> Ledger:
    """Read a ledger. Raises sqlite3.Error, OSError for a file that is none or cannot be read."""
    return read_quietly(path, _ledger)


def count_intents(path: Path) -> int:
    """How many intents a ledger holds. Raises as `read_ledger` does."""
    found: int = read_quietly(path, lambda database, _: database.execute("SELECT count(*) FROM orders").fetchone()[0])
    return found


@dataclass(frozen=True, slots=True)
class Whose:
    """What has to be known of a ledger before its exchange is asked."""

    environment: str
    host: str | None  # the name of its exchange; None: it has never been connected
    oldest_ms: int | None  # when its oldest order was recorded or taken by the exchange; None: it has none


def whose(path: Path) -> Whose | None:
    """Whose ledger a file is; None where its tables are of an unknown revision. Raises as `read_ledger` does."""
    return read_quietly(path, _whose)


def _whose(database: sqlite3.Connection, _: Path) -> Whose | None:
    if [row[0] for row in database.execute("SELECT version_num FROM alembic_version")] not in [[x] for x in REVISIONS]:
        return None
    environment, host = database.execute("SELECT environment, host FROM ledger").fetchone() or ("", None)
    oldest = "SELECT min(min(created_at_us / 1000, coalesce(created_ts_ms, created_at_us / 1000))) FROM orders"
    return Whose(environment, host, database.execute(oldest).fetchone()[0])


def read_quietly(path: Path, read: Callable[[sqlite3.Connection, Path], T]) -> T:
    """What `read(connection, path)` makes of a SQLite file at one moment, without disturbing whoever uses it."""
    before = _looks(path)
    if not _in_use(path):
        # Without locks, hence only where it can be shown afterwards that nobody has written in between.
        with closing(_connect(path, "immutable=1")) as database:
            found = read(database, path)
        if not _in_use(path) and _looks(path) == before:
            return found
    with closing(_connect(path, "mode=ro")) as database:
        database.execute("BEGIN")
        return read(database, path)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{how}", uri=True, timeout=_WAIT_S, isolation_level=None)


def _looks(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _in_use(path: Path) -> bool:
    return any(os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-journal"))


def rows(database: sqlite3.Connection, query: str) -> list[Row]:
    """All rows of a query, by column name."""
    cursor = database.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _ledger(database: sqlite3.Connection, path: Path) -> Ledger:
    revisions = [str(row[0]) for row in database.execute("SELECT version_num FROM alembic_version")]
    application_id = int(database.execute("PRAGMA application_id").fetchone()[0])
    found = Ledger(revisions, application_id, {}, _mark(path))
    if found.is_known:
        for table, order in TABLES.items():
            found.tables[table] = rows(database, f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608 - own names
        for event in (*found["events"], *found["action_events"]):
            event["said"] = said(event["data"])
    return found


def said(text: str) -> Row | None:
    """An event's data; None where it cannot be read, or holds a number that is not whole (money is never a float)."""
    try:
        found, end = _read(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and end == len(text) else None


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no whole number")


_read = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).raw_decode


def _mark(path: Path) -> Row | None:
    try:
        found = said(Path(f"{os.path.realpath(path)}.mark").read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return None
    is_whole = found is not None and all(name in found for name in ("id", "epoch", "seq"))
    return found if is_whole else None
