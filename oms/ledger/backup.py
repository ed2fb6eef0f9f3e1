"""Copies of a ledger: taken while it is in use, and put back in its place.

A copy is made through SQLite's own backup API: a plain copy of the file would miss its WAL, and closing any descriptor
of the live file would drop SQLite's locks. A restored ledger may be older than what was sent from it, so every copy
comes without the watermark that says the account has been read: the next run reads the account's orders first (P2).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oms.errors import InputError, LedgerBusy, LedgerDamaged, LedgerError, LedgerFailed, LedgerForeign
from oms.ledger import engine as engines
from oms.ledger import schema
from oms.ledger.ledger import ACCOUNT_READ
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
    with _reserved(to) as draft:
        with _reading(path) as source:
            _copy(source, draft, path)
        os.replace(draft, to)
        sync_folder(to.parent)


def restore(source: Path, path: Path, environment: str, *, now_us: int) -> Path | None:
    """Put a copy of the ledger `source` in the place of `path`; returns where the replaced ledger is kept, if any.

    The mark beside the ledger is removed, so the next run reads the account before it sends. Raises LedgerForeign for
    a source that is not a ledger of this environment or newer than this program, and for a `path` that holds something
    else; LedgerBusy when a process sends, records or reads there; LedgerDamaged for a source that fails its check. On
    any of them `path` is as it was.
    """
    path = Path(os.path.realpath(path))
    if not source.is_file():
        raise InputError(f"there is no file {source}", hint="name a file that `oms db backup` made")
    _check_ledger(source, environment, hint="name a file that `oms db backup` made")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sole_use(path):
        _check_replaceable(path, environment)
        draft = Path(f"{path}.restoring")
        _discard(draft)
        with _removed_on_failure(draft):
            with _reading(source) as connection:
                _create(draft)
                _copy(connection, draft, source)
            kept = _put_aside(path, now_us)
            os.replace(draft, path)
        Path(f"{path}.mark").unlink(missing_ok=True)
        sync_folder(path.parent)
    return kept


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


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def stamp(now_us: int) -> str:
    """A UTC time for the name of a file."""
    return format_time(now_us).replace("-", "").replace(":", "")


# -- copying ------------------------------------------------------------------------------------------------------


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
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


def _copy(source: sqlite3.Connection, to: Path, path: Path) -> None:
    """All of `source` into the empty file `to`, checked, as one file without a WAL, and without ACCOUNT_READ."""
    copy = sqlite3.connect(to.as_uri() + "?mode=rw", uri=True, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = EXTRA")
        source.backup(copy)
        found = "; ".join(str(row[0]) for row in copy.execute("PRAGMA quick_check(5)"))
        if found == "ok":
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("DELETE FROM watermarks WHERE name = ?", (ACCOUNT_READ,))
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


def _create(path: Path) -> None:
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
    _create(to)
    try:
        with _removed_on_failure(draft):
            _discard(draft)  # of a backup that was killed: nobody else has this name now
            _create(draft)
            yield draft
    except BaseException:
        _discard(to)
        raise


@contextmanager
def _removed_on_failure(draft: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        _discard(draft)
        raise LedgerError(f"{draft.parent} cannot be written: {exc.strerror}", hint="check the folder") from exc
    except BaseException:
        _discard(draft)
        raise


def _discard(path: Path) -> None:
    for suffix in ("", *_LEFTOVERS):
        with suppress(FileNotFoundError):
            os.unlink(f"{path}{suffix}")


# -- whose file it is, and putting it aside -----------------------------------------------------------------------


def _check_ledger(path: Path, environment: str, *, hint: str) -> None:
    """Raise LedgerForeign unless the file is a ledger of this environment and not newer than this program."""
    with _reading(path) as connection:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner != schema.APPLICATION_ID:
            raise LedgerForeign(f"{path} is not a ledger of oms", hint=hint)
        belongs = connection.execute("SELECT environment FROM ledger").fetchone()[0]
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if belongs != environment:
        raise LedgerForeign(
            f"{path} belongs to environment {belongs}, not {environment}",
            hint="choose the environment it belongs to with --env",
        )
    if revision != schema.HEAD:
        from oms.ledger.upgrade import check_known

        check_known(path, revision)


def _check_replaceable(path: Path, environment: str) -> None:
    """Raise LedgerForeign when what is under the path is not, or never was, a ledger of this environment."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return
    if not path.is_file():
        raise LedgerForeign(f"{path} is not a file", hint="set ledger.url to a file")
    try:
        _check_ledger(path, environment, hint="set ledger.url to a file of its own for oms")
    except (LedgerFailed, TypeError):
        return  # a damaged ledger is what one restores over; it is kept
    except LedgerForeign:
        # A damaged header looks like no database at all; the mark tells that a ledger was here.
        if Path(f"{path}.mark").exists() and not _opens(path):
            return
        raise


def _opens(path: Path) -> bool:
    try:
        with _reading(path) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except LedgerError:
        return False
    return True


def _put_aside(path: Path, now_us: int) -> Path | None:
    """Keep what is under the path under another name, its WAL with it; a kill on the way loses neither."""
    if not path.exists():
        _discard(path)  # the WAL of a file that is gone must never be applied to another
        return None
    _empty_wal(path)
    kept = Path(f"{path}.replaced-{stamp(now_us)}")
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:
        os.rename(path, kept)  # a file system without hard links
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{kept}{suffix}")
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    sync_folder(path.parent)
    return kept


def _empty_wal(path: Path) -> None:
    """Bring the WAL into the file. Raises LedgerBusy while somebody reads there; a damaged ledger is left as it is."""
    try:
        connection = sqlite3.connect(path.as_uri() + "?mode=rw", uri=True, isolation_level=None, timeout=WAIT_S)
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error:
        return
    if busy:
        raise LedgerBusy(f"another program is reading {path}", hint="close it, then run this again")
