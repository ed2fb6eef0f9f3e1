"""Where a life may end, and what the files hold afterwards.

Everything a life does that another could notice is a numbered step: each statement and commit of its writing
connection, each request handed over, each answer, each sleep. At one of them it may end by a `Crash`, which is no
Exception, so that nothing of oms answers it; from then on none of its steps has an effect any more.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from oms.ledger import engine as engines


class Crash(BaseException):
    """The process is gone."""


class Steps:
    """The steps of one life."""

    def __init__(
        self,
        crash_at: int | None,
        on_step: Callable[[str], None],
        interrupt: Callable[[int], None] = lambda signum: None,
    ) -> None:
        self.count = 0
        self.interrupt = interrupt
        self.crashed_at = ""  # the name of the step at which it ended
        self.on_crash: Callable[[], None] = lambda: None
        self._crash_at = crash_at
        self._on_step = on_step

    @property
    def is_dead(self) -> bool:
        return bool(self.crashed_at)

    def reach(self, name: str) -> None:
        """A step is about to be made. Raises Crash when the life ends here, or has ended."""
        if self.crashed_at:
            raise Crash
        self.count += 1
        self._on_step(name)
        if self.count == self._crash_at:
            self.end(name)

    def end(self, name: str) -> None:
        """End the life here. Raises Crash."""
        self.crashed_at = name
        self.on_crash()
        raise Crash


class Disk:
    """The folder of a ledger through the death of a process: what was handed to the kernel stays, nothing else.

    Another model of what a crash leaves behind (a power cut) is a subclass: it says by `address` how SQLite opens the
    ledger, and in `remember` and `restore` what the files hold.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[str, bytes] = {}
        # Closing any descriptor of a database file drops SQLite's locks on it: these stay open until the end.
        self._held: dict[tuple[int, int], int] = {}

    def address(self, uri: str) -> str:
        """How the ledger at this SQLite URI is opened."""
        return uri

    def committed(self, path: Path) -> sqlite3.Connection:
        """A reading connection to what would be left of the ledger if the life ended now; the caller closes it."""
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)

    def remember(self) -> None:
        """The life ends at this instant: note what its files hold. Its connections are still open."""
        self._kept = {path.name: self._read(path) for path in self._files()}

    def restore(self) -> None:
        """All connections are closed: give the files back what they held when the life ended."""
        for path in self._files():
            if path.name not in self._kept:
                path.unlink()
        for name, content in self._kept.items():
            self._write(self.folder / name, content)
        self._kept = {}

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._held.values():
            os.close(fd)
        self._held = {}

    def _files(self) -> Iterator[Path]:
        # The shared memory is made anew by the first connection; the locks are empty.
        for path in sorted(self.folder.iterdir()):
            if path.is_file() and not path.name.endswith(("-shm", ".lock", ".gate", ".recording")):
                yield path

    def _read(self, path: Path) -> bytes:
        if path.suffix != ".sqlite3":
            return path.read_bytes()
        found = path.stat()
        key = (found.st_dev, found.st_ino)
        fd = self._held.get(key)
        if fd is None:
            fd = self._held[key] = os.open(path, os.O_RDONLY)
        return os.pread(fd, found.st_size, 0)

    def _write(self, path: Path, content: bytes) -> None:
        """In place, so that the file keeps its inode."""
        if path.exists() and path.suffix == ".sqlite3" and self._read(path) == content:
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(fd, len(content))
            os.pwrite(fd, content, 0)
        finally:
            os.close(fd)


class Watched(sqlite3.Connection):
    """A connection of one life: what it writes are steps of that life, and nothing once the life has ended."""

    steps: Steps
    is_reader = False

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(_Cursor)

    def execute(self, statement: str, values: Any = ()) -> Any:
        return self.cursor().execute(statement, values)

    def before(self, statement: str) -> None:
        """A statement is about to run."""
        if self.is_reader:
            if self.steps.is_dead:
                raise Crash
            return
        if statement.startswith("PRAGMA"):  # none of those of `oms.ledger.engine` changes a ledger but the last two
            self.is_reader = self.is_reader or statement.startswith("PRAGMA query_only")
            if "journal_mode" not in statement and "checkpoint" not in statement:
                return
        self.steps.reach(_named(statement))

    def commit(self) -> None:
        if self.in_transaction and not self.is_reader:
            self.steps.reach("commit")
            super().commit()
            self.steps.reach("committed")
        elif not self.steps.is_dead:
            super().commit()

    def rollback(self) -> None:
        if not self.steps.is_dead:
            super().rollback()

    def close(self) -> None:
        if not self.steps.is_dead:
            super().close()

    def bury(self) -> None:
        """Close it after its life has ended."""
        super().close()


class _Cursor(sqlite3.Cursor):
    connection: Watched

    def execute(self, statement: str, values: Any = ()) -> Any:
        self.connection.before(statement)
        return super().execute(statement, values)

    def executemany(self, statement: str, rows: Any) -> Any:
        self.connection.before(statement)
        return super().executemany(statement, rows)


@lru_cache(maxsize=2048)
def _named(statement: str) -> str:
    # The order in which indexes are made is a set's: it must not tell two processes apart.
    words = statement.lower().split(None, 3)[: 1 if statement.lstrip().startswith("CREATE") else 3]
    return "sql " + " ".join(words)


_connect = sqlite3.connect


@contextmanager
def watching(disk: Disk, steps: Steps, random_bytes: Callable[[int], bytes]) -> Iterator[None]:
    """While this is open, connections to databases in the disk's folder belong to the life of these steps.

    Random ids of the life are made of `random_bytes(count)`.
    """
    opened: list[Watched] = []
    beneath, urandom = sqlite3.connect, os.urandom
    folder = str(disk.folder)

    def connect(database: Any, *args: Any, **options: Any) -> Any:
        if folder not in str(database) or "mode=ro" in str(database):
            return _connect(database, *args, **options)
        connection = _connect(disk.address(str(database)), *args, **{**options, "factory": Watched})
        connection.steps = steps
        opened.append(connection)
        return connection

    sqlite3.connect, os.urandom = connect, random_bytes
    try:
        with _reused_engines():
            yield
    finally:
        sqlite3.connect, os.urandom = beneath, urandom
        for connection in opened:
            with suppress(sqlite3.Error):
                connection.bury()


class _Moving:
    """A path that an engine keeps while the ledger behind it changes."""

    def __init__(self) -> None:
        self.path = Path()

    def as_uri(self) -> str:
        return self.path.as_uri()


class _Reused:
    """The product's own engines, used again by the next life: compiling every statement anew is half of a life."""

    def __init__(self, make: Callable[[Any], Engine]) -> None:
        self._make = make
        self._free: list[tuple[Engine, _Moving]] = []
        self._taken: list[tuple[Engine, _Moving]] = []

    def __call__(self, path: Path) -> Engine:
        if self._free:
            engine, moving = self._free.pop(0)
        else:
            moving = _Moving()
            engine = self._make(moving)
        moving.path = path
        self._taken.append((engine, moving))
        return engine

    def take(self) -> list[tuple[Engine, _Moving]]:
        """A life begins: what it takes is its own."""
        outer, self._taken = self._taken, []
        return outer

    def give_back(self, outer: list[tuple[Engine, _Moving]]) -> None:
        """It has ended. In this order, so that the next life's engines have met its statements before."""
        for engine, _ in self._taken:
            engine.pool.dispose()
        self._free = self._taken + self._free
        self._taken = outer


_readers, _writers = _Reused(engines.reader_engine), _Reused(engines.writer_engine)


@contextmanager
def _reused_engines() -> Iterator[None]:
    before = engines.reader_engine, engines.writer_engine
    outer = _readers.take(), _writers.take()
    engines.reader_engine, engines.writer_engine = _readers, _writers
    try:
        yield
    finally:
        engines.reader_engine, engines.writer_engine = before
        _readers.give_back(outer[0])
        _writers.give_back(outer[1])
