"""Sending is halted: a row in the ledger and a file beside it, and either is enough.

The file is for the moments in which the ledger cannot be asked or written: locked by another process, damaged, gone, on
a full disk. A run that opens a ledger for writing lays `LEDGER.halt-ready` beside it, with its block taken; halting
gives that file its other name, `LEDGER.halt`, which needs neither a block nor the database. It belongs to the path: a
ledger that is copied or restored brings its row along, and finds the file of the place where it is put.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from oms.errors import LedgerBusy, LedgerFailed
from oms.ledger.engine import sync_folder, told_full
from oms.ledger.lock import Lock

__all__ = ["LIFTED", "HaltFile", "Halted", "halt_path", "lift_path", "note_lifted", "reason_at"]

# Watermarks with this before a number and a reason: a halt that was lifted; the value is when it was set (us). Whoever
# is told of halts is told of it although it stands no more.
LIFTED = "lifted "
_KEPT = 100  # the newest of them
_DIGITS = 9

_SIZE = 1024  # of either file: written once in full, so that what is put into it later needs no new block
# So long the ledger is waited for when its row is written; the file has stopped everything before that.
_ROW_WAIT_S = 2.0
MAX_REASON = 300


class Halted(msgspec.Struct, frozen=True):
    """That sending is halted, and why."""

    reason: str
    at_us: int | None = None


class HaltFile:
    """The file beside one ledger; `path` is the ledger's real path."""

    def __init__(self, ledger_path: Path) -> None:
        self.path = Path(f"{ledger_path}.halt")
        self.ready = Path(f"{ledger_path}.halt-ready")

    def is_set(self) -> bool:
        """Whether sending is halted. Asked before every claim and every request: one look at the folder.

        A folder that cannot be looked into does not say that sending may go on.
        """
        try:
            os.stat(self.path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return True

    def read(self) -> Halted | None:
        """Why sending is halted; None when it is not. A file without a readable reason halts all the same."""
        if not self.is_set():
            return None
        with suppress(OSError, ValueError, UnicodeDecodeError):
            text = self.path.read_bytes()[:_SIZE].decode("utf-8").strip()
            if text:
                return self._dated(msgspec.json.decode(text, type=Halted))
        return self._dated(Halted(f"the file {self.path} is there"))

    def _dated(self, halted: Halted) -> Halted:
        """Since when, by the file itself where it does not say."""
        if halted.at_us is not None:
            return halted
        with suppress(OSError):
            return Halted(halted.reason, os.stat(self.path).st_mtime_ns // 1000)
        return Halted(halted.reason, 0)

    def prepare(self) -> None:
        """Lay the ready file beside the ledger, unless it or the other is there; harmless where it cannot be made."""
        if self.ready.exists() or self.is_set():
            return
        with suppress(OSError):
            self._make(self.ready, b"")

    def set(self, reason: str, now_us: int) -> Halted:
        """Halt, durably; where it is halted already, that stays as it was. Returns what holds now.

        Raises LedgerFailed when no file could be put there at all.
        """
        known = self.read()
        if known is not None:
            return known
        wanted = Halted(reason[:MAX_REASON], now_us)
        try:
            os.rename(self.ready, self.path)
        except OSError:
            self._create(wanted)
        else:
            self._write(wanted)
        with suppress(OSError):
            sync_folder(self.path.parent)
        return wanted

    def lift(self) -> bool:
        """Take the file away, durably; whether there was one. Raises LedgerFailed when it cannot be."""
        try:
            os.stat(self.path)
            with suppress(OSError):
                self._blank()
            os.replace(self.path, self.ready)
            sync_folder(self.path.parent)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise LedgerFailed(
                f"{self.path} cannot be taken away: {exc.strerror}", hint="sending stays halted; remove it by hand"
            ) from exc
        return True

    def _create(self, wanted: Halted) -> None:
        try:
            self._make(self.path, msgspec.json.encode(wanted))
        except FileExistsError:
            return  # another process was faster
        except OSError as exc:
            if self.is_set():
                return  # it is there, if without its reason
            raise LedgerFailed(
                f"{self.path} cannot be made: {exc.strerror}",
                hint="stop the processes that send: `oms status` names the one that holds the ledger",
            ) from exc

    def _write(self, wanted: Halted) -> None:
        """The reason into the block that the file has already; a halt without a reason is one too."""
        with suppress(OSError):
            fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.pwrite(fd, msgspec.json.encode(wanted).ljust(_SIZE), 0)
                os.fsync(fd)
            finally:
                os.close(fd)

    def _blank(self) -> None:
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, b" " * _SIZE, 0)
        finally:
            os.close(fd)

    @staticmethod
    def _make(path: Path, content: bytes) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, content.ljust(_SIZE))
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(path.parent)


def halt_path(path: Path, reason: str, now_us: int) -> tuple[Halted, str]:
    """Halt the ledger at that real path by its file, and by its row where it can be written.

    Returns what holds now, and why there is no row ("" when there is one). Opens nothing through oms's own doors: the
    ledger may be locked, damaged, newer than this program, or gone. Raises LedgerFailed when neither could be set.
    """
    try:
        halted = HaltFile(path).set(reason, now_us)
        failure: LedgerFailed | None = None
    except LedgerFailed as exc:
        halted, failure = Halted(reason[:MAX_REASON], now_us), exc
    statement = "INSERT INTO controls (name, reason, at_us) VALUES ('halt', ?, ?) ON CONFLICT (name) DO NOTHING"
    values = (halted.reason, halted.at_us or now_us)
    problem = _with_ledger(path, lambda database: database.execute(statement, values))
    if problem and failure is not None:
        raise failure
    return halted, problem


def lift_path(path: Path) -> tuple[bool, str]:
    """Lift the halt of the ledger at that real path, its row first: cut off in between, it is still halted.

    Returns whether there was a file, and why the row could not be taken away ("" when it was, or there is no ledger).
    Then the file stays as well. Raises LedgerFailed.
    """
    file = HaltFile(path)
    if path.exists():
        problem = _with_ledger(path, lambda database: _lift_row(database, file.read()))
        if problem:
            return file.is_set(), problem
    return file.lift(), ""


def _lift_row(database: sqlite3.Connection, by_file: Halted | None) -> None:
    database.execute("BEGIN IMMEDIATE")
    note_lifted(database.execute, by_file)
    database.execute("DELETE FROM controls WHERE name = 'halt'")
    database.execute("COMMIT")


def note_lifted(execute: Callable[..., sqlite3.Cursor], by_file: Halted | None) -> None:
    """Keep what is about to be lifted, by its row and by its file, in the caller's transaction; each halt once."""
    row = execute("SELECT reason, at_us FROM controls WHERE name = 'halt'").fetchone()
    halts = [] if row is None else [Halted(str(row[0]), int(row[1]))]
    if by_file is not None and (row is None or by_file.at_us != halts[0].at_us):
        halts.append(by_file)
    kept = execute(f"SELECT name, value_ms FROM watermarks WHERE {_LIFTED_SQL} ORDER BY name").fetchall()  # noqa: S608
    newest = int(kept[-1][0][len(LIFTED) :][:_DIGITS]) if kept else 0
    known = {each[1] for each in kept}
    for number, halted in enumerate((x for x in halts if x.at_us not in known), newest + 1):
        name = f"{LIFTED}{number:0{_DIGITS}d} {halted.reason}"
        execute("INSERT INTO watermarks (name, value_ms, at_us) VALUES (?, ?, ?)", (name, halted.at_us, halted.at_us))
    for name, _ in kept[:-_KEPT]:
        execute("DELETE FROM watermarks WHERE name = ?", (name,))


_LIFTED_SQL = f"name > '{LIFTED}' AND name < '{LIFTED}~'"


def lifted_after(execute: Callable[..., sqlite3.Cursor], number: int) -> list[tuple[int, Halted]]:
    """The halts that were lifted, those with a higher number, by number."""
    query = f"SELECT name, value_ms FROM watermarks WHERE {_LIFTED_SQL} AND name > ? ORDER BY name"  # noqa: S608
    rows = execute(query, (f"{LIFTED}{number:0{_DIGITS}d}~",)).fetchall()
    texts = [(name[len(LIFTED) :], at_us) for name, at_us in rows]
    return [(int(text[:_DIGITS]), Halted(text[_DIGITS + 1 :], at_us)) for text, at_us in texts]


def reason_at(path: Path) -> str | None:
    """Why the ledger at that real path is halted, by its file or its row; None when it is not, or cannot be asked."""
    halted = HaltFile(path).read()
    if halted is not None:
        return halted.reason
    with suppress(LedgerBusy, LedgerFailed, sqlite3.Error, OSError), _opened(path) as database:
        row = database.execute("SELECT reason FROM controls WHERE name = 'halt'").fetchone()
        return str(row[0]) if row is not None else None
    return None


def _with_ledger(path: Path, change: Callable[[sqlite3.Connection], object]) -> str:
    """Change the ledger at that path, durably; why it could not be done, or ""."""
    try:
        with _opened(path) as database:
            change(database)
    except (LedgerBusy, LedgerFailed) as exc:
        return exc.message
    except sqlite3.Error as exc:
        full = told_full(exc, path)
        return f"{exc}: {full}" if full else str(exc)
    except (OSError, UnicodeDecodeError) as exc:
        return str(exc)
    return ""


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file through SQLite and nothing else, never beside a checkpoint: its last closing makes one."""
    if not path.exists():
        raise LedgerFailed("there is no ledger")
    gate = Lock(path, ".gate")
    deadline = time.monotonic() + _ROW_WAIT_S
    if not gate.acquire(_ROW_WAIT_S):
        raise LedgerBusy("another process holds the ledger")
    try:
        left_s = max(0.1, deadline - time.monotonic())
        uri = f"{path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=left_s)) as database:
            database.execute("PRAGMA wal_autocheckpoint = 0")
            database.execute("PRAGMA synchronous = EXTRA")
            yield database
    finally:
        gate.release()
