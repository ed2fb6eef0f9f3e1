"""Connections to the ledger: how SQLite is opened so that a commit is durable, and how its failures are named.

Measured: SQLite's default (DELETE, FULL) and WAL with NORMAL lose acknowledged commits at a power cut; WAL with
`synchronous=EXTRA` does not. So synchronous is set first, then the journal mode, and both are read back (P1).
The file is opened through SQLite only: any other open and close of it in this process would drop SQLite's locks.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from oms.errors import ConfigError, LedgerBusy, LedgerDamaged, LedgerFailed, LedgerForeign
from oms.ledger import bulk

BUSY_TIMEOUT_MS = 30_000
# One text for each number of rows in a turn; parsing one of them again costs as much as running it.
_CACHED_STATEMENTS = 512
# Less room than this on a disk is named where the ledger fails on it: the WAL's shared memory grows by 32 KiB.
_ROOM_BYTES = 256 * 1024
# Beyond this the write-ahead log is due to be checkpointed; the first commit after that cuts it back to here.
WAL_LIMIT_BYTES = 8 * 1024 * 1024


def parse_url(url: str) -> URL:
    """The ledger's URL. Raises ConfigError for one that is not a SQLite file's."""
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise ConfigError("ledger.url is not a database URL", hint="use sqlite:////absolute/path.sqlite3") from exc
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(
            f"ledger.url: {parsed.get_backend_name()} is not supported yet",
            hint="use a SQLite file: sqlite:////absolute/path.sqlite3",
        )
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError("ledger.url: a ledger has to be a file", hint="use sqlite:////absolute/path.sqlite3")
    return parsed


def real_path(url: str) -> Path:
    """The file behind the URL, symlinks resolved: two names of one ledger must meet on one lock."""
    return Path(os.path.realpath(parse_url(url).database or ""))


def writer_engine(path: Path) -> Engine:
    """An engine on one held connection whose every transaction is BEGIN IMMEDIATE.

    Never SELECT on it outside `begin()`: that would open a write transaction and keep it.
    """
    engine = create_engine(
        "sqlite://", creator=lambda: _connect(path, writable=True), poolclass=StaticPool, skip_autocommit_rollback=False
    )
    event.listen(engine, "begin", lambda conn: bulk.execute(conn, "BEGIN IMMEDIATE"))
    return engine


def reader_engine(path: Path) -> Engine:
    """An engine for reads: deferred transactions that never block behind the writer."""
    engine = create_engine("sqlite://", creator=lambda: _connect(path, writable=False), poolclass=QueuePool)
    event.listen(engine, "begin", lambda conn: bulk.execute(conn, "BEGIN"))
    return engine


def _connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    # mode=rw, never rwc: a ledger is created in one place only, on purpose.
    uri = path.as_uri() + "?mode=rw"
    connection = sqlite3.connect(
        uri,
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
        cached_statements=_CACHED_STATEMENTS,
    )
    try:
        _configure(connection, writable=writable)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, *, writable: bool) -> None:
    run = connection.execute
    run("PRAGMA trusted_schema = OFF")
    run("PRAGMA cell_size_check = ON")
    run("PRAGMA foreign_keys = ON")
    run("PRAGMA wal_autocheckpoint = 0")  # checkpoints are made by the holder of the writer lock, under the gate
    if not writable:
        run("PRAGMA query_only = ON")
        return
    run("PRAGMA fullfsync = ON")  # macOS: fsync alone does not flush the drive
    run("PRAGMA synchronous = EXTRA")
    mode = run("PRAGMA journal_mode = WAL").fetchone()[0]
    synchronous = run("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != 3:
        raise LedgerFailed(
            f"the ledger cannot be made durable: journal_mode={mode}, synchronous={synchronous}",
            hint="put the ledger on a local disk: WAL needs shared memory, which network file systems lack",
        )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Name the database's failures for the caller: foreign, busy, or failed (after which nothing may be sent)."""
    try:
        yield
    except DBAPIError as exc:
        raise _named(exc.orig, path) from exc
    except sqlite3.Error as exc:
        raise _named(exc, path) from exc
    except UnicodeDecodeError as exc:  # SQLite names what is wrong in words that are damaged themselves
        raise LedgerDamaged(f"{path} is damaged", hint="restore a backup with `oms db restore`") from exc


def _named(exc: BaseException | None, path: Path) -> Exception:
    name = getattr(exc, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_NOTADB"):
        return LedgerForeign(f"{path} is not a SQLite file", hint="name another file, or move this one away")
    # SQLITE_PROTOCOL: the locks of the WAL stayed taken, and SQLite gave up trying before it had begun.
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return LedgerBusy(
            f"{path} stayed locked by another process",
            hint="close the program that holds it open for writing, then run again",
        )
    if name.startswith("SQLITE_READONLY"):
        return LedgerFailed(f"{path} cannot be written: {exc}", hint="check the permissions of the file and its folder")
    full = told_full(exc, path)
    if full:
        return LedgerFailed(f"the ledger {path} failed: {exc}: {full}", hint=f"nothing more was sent; {FREE_SPACE}")
    return LedgerFailed(
        f"the ledger {path} failed: {exc}",
        hint="nothing more was sent; check the disk (space, permissions), then run `oms submit` to go on",
    )


# What to do where a full disk is named.
FREE_SPACE = "free some space there, then run `oms submit` to go on (`oms halt` needs none)"


def told_full(exc: BaseException | None, path: Path) -> str:
    """That the disk is full, where SQLite says so; that it looks full, where an I/O error and the free space fit; "".

    Only what is said to a person: after any failure of the ledger nothing more is sent.
    """
    name = getattr(exc, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return f"the disk of {path.parent} is full"
    # The shared memory of the WAL is a file too: on a full disk its growing fails as an I/O error, for readers as well.
    if not name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")):
        return ""
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return ""
    left = found.f_bavail * found.f_frsize
    if left >= _ROOM_BYTES and (found.f_favail or not found.f_files):
        return ""
    what = f"{left // 1024} KiB" if left < _ROOM_BYTES else "no file"
    return f"the disk of {path.parent} looks full: there is room for {what} more"


def sqlite_version() -> tuple[int, ...]:
    """The version of the SQLite library in use."""
    return sqlite3.sqlite_version_info


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file now under the path; None when there is none. stat() does not touch its locks."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def wal_size(path: Path) -> int:
    """Bytes of the write-ahead log beside the file; 0 where there is none."""
    try:
        return os.stat(f"{path}-wal").st_size
    except OSError:
        return 0


def limit_wal(connection: Connection) -> None:
    """Have the next commit after a whole checkpoint cut the write-ahead log back to its limit.

    Else the file keeps the size it once had, and its size would not tell whether a checkpoint is due. To cut off 32 MB
    takes as long as several commits, so a run does not ask for it before its first claims are out.
    """
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}").fetchone()


def checkpoint(connection: Connection) -> None:
    """Copy the WAL into the file as far as readers allow. Call it under the gate, outside a transaction."""
    raw = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
