"""A copy of a ledger put back in the place of the one in use.

The replaced ledger is kept beside it, with its WAL: a WAL must never meet another file. The mark beside the ledger is
removed, so that the next run reads the account's orders before it sends anything (P2).
"""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from oms.errors import InputError, LedgerBusy, LedgerError, LedgerFailed, LedgerForeign
from oms.ledger import schema
from oms.ledger.backup import (
    WAIT_S,
    copy_into,
    create,
    discard,
    reading,
    removed_on_failure,
    sole_use,
    stamp,
)
from oms.ledger.engine import sync_folder
from oms.ledger.upgrade import check_known


def restore(source: Path, path: Path, environment: str, *, now_us: int) -> Path | None:
    """Put a copy of the ledger `source` in the place of `path`; returns where the replaced ledger is kept, if any.

    The mark beside the ledger is removed, so the next run reads the account before it sends. Raises LedgerForeign for
    a source that is not a ledger of this environment or newer than this program, and for a `path` that holds something
    else; LedgerBusy when a process sends, records or reads there; LedgerDamaged for a source that fails its check. On
    any of them `path` is as it was.
    """
    source, path = source.absolute(), Path(os.path.realpath(path))
    if not source.is_file():
        raise InputError(f"there is no file {source}", hint="name a file that `oms db backup` made")
    _check_ledger(source, environment, hint="name a file that `oms db backup` made")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with sole_use(path):
        _check_replaceable(path, environment)
        draft = Path(f"{path}.restoring")
        discard(draft)
        with removed_on_failure(draft):
            with reading(source) as connection:
                create(draft)
                copy_into(connection, draft, source)
            kept = _put_aside(path, now_us)
            os.replace(draft, path)
        Path(f"{path}.mark").unlink(missing_ok=True)
        sync_folder(path.parent)
    return kept


def _check_ledger(path: Path, environment: str, *, hint: str) -> None:
    """Raise LedgerForeign unless the file is a ledger of this environment and not newer than this program."""
    with reading(path) as connection:
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
        with reading(path) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except LedgerError:
        return False
    return True


def _put_aside(path: Path, now_us: int) -> Path | None:
    """Keep what is under the path under another name, its WAL with it; a kill on the way loses neither."""
    if not path.exists():
        discard(path)  # the WAL of a file that is gone must never be applied to another
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
