"""Copies of a ledger, taken while it is in use.

A copy is made through SQLite's own backup API: a plain copy of the file would miss its WAL, and closing any descriptor
of the live file would drop SQLite's locks. A restored ledger may be older than what was sent from it, so every copy
comes without the watermark that says the account has been read: the next run reads the account's orders first (P2).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oms.errors import InputError, LedgerBusy, LedgerDamaged, LedgerError
from oms.ledger import engine as engines
from oms.ledger import schema
from oms.ledger.lock import Locks
from oms.units import format_time

# Whoever replaces a ledger waits this long for the locks that others hold on it, then says so.
WAIT_S = 5.0

_LEFTOVERS = ("-wal", "-shm", "-journal")


def backup(path: Path, to: Path) -> None:
    """Copy the ledger at `path` to the new file `to`, readable by its owner only; senders go on meanwhile.

    The copy is one consistent moment, checked by SQLite (`quick_check`) and on the disk on return. Raises InputError
    when `to` exists, LedgerDamaged when the copy does not pass its check, LedgerError when it cannot be written; after
    any of them there is no new file.
    """
    to = to.absolute()
    with _reserved(to) as draft:
        with reading(path) as source:
            copy_into(source, draft, path)
        os.replace(draft, to)
        engines.sync_folder(to.parent)


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Hold every lock of the ledger at `path`: nobody sends, records or checkpoints. Raises LedgerBusy."""
    locks = Locks(path)
    try:
        locks.take_writer(WAIT_S)
        if not locks.recording.acquire(WAIT_S) or not locks.gate.acquire(WAIT_S):
            raise LedgerBusy(
                f"another process is recording orders into {path}", hint="wait for it to end, then run this again"
            )
        yield
    finally:
        locks.close()


def stamp(now_us: int) -> str:
    """A UTC time for the name of a file."""
    return format_time(now_us).replace("-", "").replace(":", "")


# -- copying ------------------------------------------------------------------------------------------------------


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read. Raises LedgerForeign or LedgerFailed for what is no whole database."""
    engine = engines.reader_engine(path)
    try:
        with engines.translated(path):
            pooled = engine.raw_connection()
            try:
                connection = pooled.dbapi_connection
                assert isinstance(connection, sqlite3.Connection)
                yield connection
            finally:
                pooled.close()
    finally:
        engine.dispose()


def copy_into(source: sqlite3.Connection, to: Path, path: Path) -> None:
    """All of `source` into the empty file `to`, checked, as one file without a WAL, marked as SET_BACK."""
    copy = sqlite3.connect(to.as_uri() + "?mode=rw", uri=True, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = EXTRA")
        source.backup(copy)
        found = "; ".join(str(row[0]) for row in copy.execute("PRAGMA quick_check(5)"))
        if found == "ok":
            copy.execute("PRAGMA journal_mode = DELETE")
            # One statement each, so that a copy cut off in between is one with a duty too many, never too few.
            copy.execute("INSERT OR REPLACE INTO watermarks VALUES (?, 0, 0)", (schema.SET_BACK,))
            copy.execute("DELETE FROM watermarks WHERE name = ?", (schema.ACCOUNT_READ,))
    except sqlite3.Error as exc:
        if not exc.sqlite_errorname.startswith("SQLITE_CORRUPT"):
            raise LedgerError(f"{path} could not be copied to {to}: {exc}", hint="check the disk of both") from exc
        found = str(exc)
    finally:
        copy.close()
    if found != "ok":
        raise LedgerDamaged(
            f"a copy of {path} does not pass SQLite's check: {found}",
            hint="run `oms db check`; `oms db restore` puts an earlier backup in its place",
        )


def create(path: Path) -> None:
    """Make an empty file that only its owner can read. Raises InputError where there is one, LedgerError otherwise."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError as exc:
        raise InputError(f"{path} exists, and is never overwritten", hint="name a new file") from exc
    except OSError as exc:
        raise LedgerError(f"{path} cannot be written: {exc.strerror}", hint="check the folder") from exc


@contextmanager
def _reserved(to: Path) -> Iterator[Path]:
    """The name `to` taken by an empty file, so that nobody else takes it, and a draft beside it to fill."""
    draft = Path(f"{to}.partial")
    create(to)
    try:
        with removed_on_failure(draft):
            discard(draft)  # of a backup that was killed: nobody else has this name now
            create(draft)
            yield draft
    except BaseException:
        discard(to)
        raise


@contextmanager
def removed_on_failure(draft: Path) -> Iterator[None]:
    """Remove the draft when the block fails; the folder's failures are named as LedgerError."""
    try:
        yield
    except OSError as exc:
        discard(draft)
        raise LedgerError(f"{draft.parent} cannot be written: {exc.strerror}", hint="check the folder") from exc
    except BaseException:
        discard(draft)
        raise


def discard(path: Path) -> None:
    """Remove a database file that nobody uses, and what SQLite keeps beside it."""
    for suffix in ("", *_LEFTOVERS):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")
