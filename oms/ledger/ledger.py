"""One opened ledger: its identity, its connections, its write transactions, its epoch.

Opening refuses by name what is not ours: a foreign file, a newer schema, another environment's or another host's
ledger. After any failure of the disk or the database in a write, the ledger is done for this process: a commit that
raised may still be durable, so nothing may be sent on the strength of what this process believes (P1).
"""

import os
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_mock_engine, insert, text, update
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Connection

from oms.errors import (
    ConfigError,
    EpochLost,
    LedgerBusy,
    LedgerFailed,
    LedgerForeign,
    LedgerMissing,
    LedgerReplaced,
    OmsError,
)
from oms.ledger import birth, schema
from oms.ledger import engine as engines
from oms.ledger.bulk import execute
from oms.ledger.halt import HaltFile
from oms.ledger.lock import Locks, Mark

if TYPE_CHECKING:
    from oms.ledger.rows import Entry

# Checkpoint when the WAL has had this many commits: small enough that one costs about a millisecond.
_CHECKPOINT_EVERY = 400
# ... or has grown large, by whomever (another process may be recording a long batch); but not at every commit, should
# a reader keep it from shrinking.
_LARGE_CHECKPOINT_EVERY = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose ledger a file is."""

    ledger_id: str
    environment: str
    host: str | None
    user_id: str | None
    epoch: int


class Ledger:
    """An open ledger. Reads are concurrent; writes go through one held connection, one at a time."""

    def __init__(self, path: Path, identity: Identity, reader: Engine, inode: tuple[int, int] | None) -> None:
        self.path = path
        self.ledger_id = identity.ledger_id
        self.environment = identity.environment
        self.epoch: int | None = None  # of this run, once it has opened one
        self.locks = Locks(path)
        self.halt = HaltFile(path)
        self._reader = reader
        # Held between reads: taking one from the engine and giving it back costs more than most reads.
        self._idle: list[Connection] = []
        self._writer: Engine | None = None
        self._connection: Connection | None = None
        self._turn = threading.RLock()
        self._failed: Exception | None = None
        self._inode = inode
        self._file = birth.identity(path)
        self._commits = 0
        self._seq = 0
        # Told after each commit what it moved; for a run's report.
        self.on_moved: Callable[[Collection[Entry]], None] = lambda entries: None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A deferred read transaction: one consistent view, never blocking the writer. Keep it short."""
        with engines.translated(self.path):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._reader.connect()
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction (BEGIN IMMEDIATE), durable when the block has ended without an exception.

        Raises LedgerFailed when the disk or the database fails; every later write then raises the same.
        """
        with self._turn:
            if self._failed is not None:
                raise LedgerFailed(str(self._failed)) from self._failed
            try:
                with engines.translated(self.path):
                    connection = self._held()
                    with connection.begin():
                        yield connection
            except LedgerFailed as exc:
                self._failed = exc
                raise
            self._commits += 1

    @contextmanager
    def gated_write(self) -> Iterator[Connection]:
        """A write by a process that may not hold the writer lock: never beside a checkpoint."""
        with self.locks.gate, self.write() as connection:
            yield connection

    @property
    def has_failed(self) -> bool:
        return self._failed is not None

    def check_place(self) -> None:
        """Raise LedgerReplaced unless the file under the path is still the one that was opened."""
        if engines.file_identity(self.path) != self._inode:
            self._failed = LedgerReplaced(
                f"the file {self.path} is not the one this run opened: it was moved, replaced or deleted",
                hint="nothing more was sent; put the right file in place and run `oms submit` to go on",
            )
            raise self._failed

    def check_epoch(self, connection: Connection) -> None:
        """Raise EpochLost unless this run's epoch is still the newest; call it inside every claim (P5)."""
        self.compare_epoch(execute(connection, _EPOCH).fetchone()[0])

    def compare_epoch(self, newest: int) -> None:
        """As `check_epoch`, with the newest epoch read by the caller in the same transaction."""
        if newest != self.epoch:
            raise EpochLost(
                f"run {self.epoch} lost this ledger to run {newest}", hint="let the other run go on; it has everything"
            )

    def identity(self) -> Identity:
        with self.read() as connection:
            return _identity(connection)

    def bind_host(self, host: str) -> None:
        """Tie the ledger to the exchange's host on first use. Raises LedgerForeign when it belongs to another."""
        known = self.identity().host
        if known is None:
            with self.gated_write() as connection:
                connection.execute(update(schema.ledger).values(host=host))
        elif known != host:
            raise LedgerForeign(
                f"the ledger {self.path} belongs to the exchange at {known}, not {host}",
                hint="set ledger.url to another file for this exchange",
            )

    def open_epoch(self, *, purpose: str, key_print: str | None, now_us: int) -> bool:
        """Begin a run: a new epoch, durable; True when the ledger is the one that ran last, as it was left.

        Call it with the writer lock held. False means new, copied, moved or restored: the account has to be read
        before anything is sent (design 6), and that duty is durable until it is done.
        """
        assert self.locks.writer.is_held
        self.check_place()
        with self.locks.gate, engines.translated(self.path):
            # A run whose sync failed may have left in the WAL what the kernel shows and will never write. Copied into
            # the file it is written anew; built upon as it is, a power cut would take all that follows it (P1).
            engines.checkpoint(self._held())
        mark = self.locks.mark.read()
        with self.write() as connection:
            known = _identity(connection)
            seq = execute(connection, _NEWEST_SEQ).fetchone()[0]
            kept_seq = execute(connection, _KEPT_SEQ).fetchone()[0]
            continued = mark is not None and (mark.ledger_id, mark.epoch) == (known.ledger_id, known.epoch)
            continued = continued and mark is not None and mark.seq <= seq and mark.file == self._file
            if not continued:
                _forget_account(connection, is_set_back=mark is not None or known.epoch > 0)
            self.epoch = known.epoch + 1
            run = {"epoch": self.epoch, "at_us": now_us, "purpose": purpose, "pid": os.getpid(), "print": key_print}
            connection.execute(_NEW_EPOCH, {"epoch": self.epoch})
            connection.execute(_NEW_RUN, run)
        self.note_seq(kept_seq, durable=True)
        return continued

    def resume_epoch(self, epoch: int) -> bool:
        """Go on with an epoch of this process; False when anything has happened to the ledger since it ended.

        Call it with the writer lock held.
        """
        assert self.locks.writer.is_held
        mark = self.locks.mark.read()
        if mark is None or engines.file_identity(self.path) != self._inode:
            return False
        with self.read() as connection:
            known = _identity(connection)
            seq = execute(connection, _NEWEST_SEQ).fetchone()[0]
            on_wire = execute(connection, _ON_WIRE).fetchone()[0]
            strange = execute(connection, _STRANGE).fetchone()[0]
        same = (mark.ledger_id, mark.epoch, mark.pid, mark.file) == (
            known.ledger_id,
            epoch,
            os.getpid(),
            self._file,
        )
        if not same or known.epoch != epoch or seq < mark.seq or on_wire or strange:
            return False
        self.epoch = epoch
        return True

    def end_epoch(self) -> None:
        """End this run: checkpoint, and let go of the writer lock. Harmless when there is none."""
        with suppress(OmsError):
            self.tend(idle=True)
        self.epoch = None
        self.locks.writer.release()

    def note_seq(self, seq: int, *, durable: bool = False) -> None:
        """Keep the mark beside the ledger at its newest event."""
        self._seq = max(self._seq, seq)
        if self.epoch is not None:
            mark = Mark(self.ledger_id, self.epoch, self._seq, os.getpid(), self._file)
            self.locks.mark.write(mark, durable=durable)

    def tend(self, *, idle: bool = False) -> None:
        """Checkpoint when due; only the holder of the writer lock may, and only under the gate."""
        if not self.locks.writer.is_held or not (self._is_due() or (idle and self._commits)):
            return
        with self._turn:
            if self._failed is None and self.locks.gate.acquire(1.0 if idle else 0):
                try:
                    with engines.translated(self.path):
                        engines.checkpoint(self._held())
                        engines.limit_wal(self._held())
                    self._commits = 0
                except LedgerBusy:
                    pass  # a reader is in the way: the next one will do
                finally:
                    self.locks.gate.release()

    def tend_while_nobody_sends(self) -> None:
        """For a recorder: checkpoint when due, as the writer for that moment; a run that sends does it itself."""
        if self._is_due() and (self.locks.writer.is_held or self.locks.writer.acquire(0)):
            was_ours = self.epoch is not None
            try:
                self.tend()
            finally:
                if not was_ours:
                    self.locks.writer.release()

    def _is_due(self) -> bool:
        if self._commits >= _CHECKPOINT_EVERY:
            return True
        is_time_to_look = self._commits > 0 and self._commits % _LARGE_CHECKPOINT_EVERY == 0
        return is_time_to_look and engines.wal_size(self.path) > engines.WAL_LIMIT_BYTES

    def close(self) -> None:
        """Close all connections and let go of all locks; harmless twice."""
        with self._turn, suppress(Exception):
            self.tend(idle=True)
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            if self._writer is not None:
                self._writer.dispose()
                self._writer = None
        self.let_go()
        self._reader.dispose()
        self.locks.close()

    def let_go(self) -> None:
        """Give back the connections that wait for the next read."""
        while self._idle:
            self._idle.pop().close()

    def _held(self) -> Connection:
        if self._connection is None:
            self._writer = engines.writer_engine(self.path)
            self._connection = self._writer.connect()
            self.halt.prepare()
        return self._connection


ACCOUNT_READ = schema.ACCOUNT_READ


def _forget_account(connection: Connection, *, is_set_back: bool) -> None:
    """The account has to be read from its beginning; set back, also past what another ledger may just have sent."""
    name = schema.watermarks.c.name
    connection.execute(schema.watermarks.delete().where(name == schema.ACCOUNT_READ))
    if is_set_back:
        connection.execute(schema.watermarks.delete().where(name == schema.SET_BACK))
        connection.execute(insert(schema.watermarks).values(name=schema.SET_BACK, value_ms=0, at_us=0))


_EPOCH = "SELECT epoch FROM ledger"
_NEW_EPOCH = text("UPDATE ledger SET epoch = :epoch")
_NEW_RUN = text(
    "INSERT INTO epochs (epoch, opened_at_us, purpose, pid, key_print) VALUES (:epoch, :at_us, :purpose, :pid, :print)"
)
_IDENTITY = "SELECT ledger_id, environment, host, user_id, epoch FROM ledger"
# Its orders may be at the exchange already: the account has to be read first.
_STRANGE = f"SELECT count(*) FROM ({schema.STRANGE_QUEUED_SQL})"  # noqa: S608
_ON_WIRE = f"SELECT count(*) FROM commands WHERE {schema.UNFINISHED_SQL} AND state = 'on_wire'"  # noqa: S608
_NEWEST_SEQ = "SELECT coalesce(max(seq), 0) FROM events"
# The same without what may yet be deleted, a recording that was cut off: its events on the mark would make the ledger
# look like an older one as soon as it is cleared.
_KEPT_SEQ = (
    "SELECT coalesce((SELECT c.recorded_seq - 1 FROM orders AS o JOIN commands AS c ON c.order_key = o.key"
    " WHERE o.batch_key = (SELECT key FROM batches WHERE state = 'recording') ORDER BY o.row LIMIT 1),"
    " (SELECT max(seq) FROM events), 0)"
)


def open_ledger(url: str, environment: str, *, create: bool, upgrade: bool | None = None, now_us: int = 0) -> Ledger:
    """Open the ledger at `url` for an environment; with `create`, make it where there is none.

    Raises LedgerMissing (without `create`; nothing is made), LedgerForeign, LedgerFailed, LedgerBusy. A ledger of an
    older revision is upgraded first, after a backup, where `upgrade` allows it (default: as `create`): read commands
    never migrate.
    """
    path = engines.real_path(url)
    _check_kind(path)
    revision, ledger = _look(path)
    if not revision:
        if not create:
            raise LedgerMissing(f"there is no ledger at {path}", hint="`oms submit` makes one with its first order")
        _make(path, environment, now_us)
        revision, ledger = _look(path)
    if revision != schema.HEAD:
        _upgrade(path, revision, allowed=create if upgrade is None else upgrade)
        revision, ledger = _look(path)
    assert ledger is not None
    if ledger.environment != environment:
        ledger.close()
        raise LedgerForeign(
            f"the ledger {path} belongs to environment {ledger.environment}, not {environment}",
            hint="one file per environment: set ledger.url, or choose the environment it belongs to with --env",
        )
    return ledger


def _check_kind(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise LedgerForeign(f"{path} is not a file", hint="set ledger.url to a file")
    if path.exists() and path.stat().st_nlink > 1:
        # Lock, mark and SQLite's own log lie beside the name: under another name of the file are others, and two
        # processes would write over each other.
        raise LedgerForeign(
            f"the ledger {path} has {path.stat().st_nlink} names (hard links)",
            hint="remove the other name, or replace it by a copy (`oms db backup`) or a symbolic link",
        )


def _look(path: Path) -> tuple[str, Ledger | None]:
    """The ledger's revision and, where that is ours, the ledger, opened; "" where there is none.

    It goes on with the connection that has looked: to close the last one of a file is a checkpoint, and after a crash
    the write-ahead log would be read twice.

    None is: no file, an empty one, or one whose creation was cut off before its one transaction committed. Raises
    LedgerForeign for what some other program made.
    """
    if not path.exists() or path.stat().st_size == 0:
        return "", None
    inode, reader = engines.file_identity(path), engines.reader_engine(path)
    ledger: Ledger | None = None
    try:
        with engines.translated(path), reader.begin() as connection:
            owner: int = execute(connection, "PRAGMA application_id").fetchone()[0]
            tables: int = execute(connection, "SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables == 0 and owner == 0:
                return "", None
            if owner != schema.APPLICATION_ID:
                raise LedgerForeign(
                    f"{path} is a SQLite file of some other program", hint="set ledger.url to a file of its own for oms"
                )
            found = [row[0] for row in execute(connection, "SELECT version_num FROM alembic_version")]
            if len(found) != 1:
                raise LedgerForeign(f"{path} has {len(found)} schema revisions; a ledger has one")
            if found[0] == schema.HEAD:
                ledger = Ledger(path, _identity(connection), reader, inode)
            return str(found[0]), ledger
    finally:
        if ledger is None:
            reader.dispose()


def _make(path: Path, environment: str, now_us: int) -> None:
    """Create the file and, in one transaction, its schema and identity: a kill leaves nothing or all of it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"the folder of the ledger {path} cannot be made: {exc.strerror}", hint="set ledger.url to another place"
        ) from exc
    locks = Locks(path)
    try:
        with locks.gate:
            revision, made = _look(path)
            if made is not None:
                made.close()
            if revision:
                return  # another process was faster
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            _write_schema(path, environment, now_us)
            engines.sync_folder(path.parent)
    except OSError as exc:
        raise LedgerFailed(f"the ledger {path} cannot be created: {exc.strerror}", hint="check its folder") from exc
    finally:
        locks.close()


def _write_schema(path: Path, environment: str, now_us: int) -> None:
    writer = engines.writer_engine(path)
    try:
        with engines.translated(path), writer.begin() as connection:
            connection.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            for statement in _tables(connection.dialect.name):
                connection.exec_driver_sql(statement)
            connection.execute(insert(schema.alembic_version).values(version_num=schema.HEAD))
            connection.execute(
                insert(schema.ledger).values(
                    id=1, ledger_id=str(uuid.uuid4()), environment=environment, epoch=0, created_at_us=now_us
                )
            )
    finally:
        writer.dispose()


@cache
def _tables(dialect: str) -> tuple[str, ...]:
    """The statements that create all tables and indexes; put into words once for each process."""
    statements: list[str] = []
    words = registry.load(dialect)()

    def note(ddl: Any, *values: object, **more: object) -> None:
        statements.append(str(ddl.compile(dialect=words)))

    engine = create_mock_engine(f"{dialect}://", note)
    schema.metadata.create_all(engine, checkfirst=False)
    return tuple(statements)


def _upgrade(path: Path, revision: str, *, allowed: bool) -> None:
    from oms.ledger.upgrade import upgrade

    upgrade(path, revision, allowed=allowed)


def _identity(connection: Connection) -> Identity:
    return Identity(*execute(connection, _IDENTITY).fetchone())
