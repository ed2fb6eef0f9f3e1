"""Who may do what with a ledger file, between processes; and the mark that shows a ledger has gone back in time.

Three OS locks on files beside the ledger's real path (never on the ledger itself: closing any descriptor of it would
drop SQLite's own locks). The kernel frees them when a process dies, however it dies.

- `.lock`       the writer lock: held for as long as a run claims and sends.
- `.recording`  one recorder of batches at a time; whoever gets it knows that an unfinished recording is dead.
- `.gate`       short: recording a chunk and checkpointing never overlap, because SQLite before 3.51.3 can corrupt a WAL
                that one connection checkpoints while another commits.

The `.mark` file holds the ledger's id, newest epoch and newest event outside the ledger, so that a copied, moved or
restored one is noticed (design 6). It is a hint for safety, never a source of truth.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec
from filelock import FileLock, Timeout

from oms.errors import LedgerBusy, LedgerFailed

_POLL_S = 0.005
_MARK_WIDTH = 200  # the mark is rewritten in place: a fixed width leaves no tail of an older one


class Lock:
    """One named OS lock beside a ledger; a context manager that waits without limit."""

    def __init__(self, ledger_path: Path, suffix: str) -> None:
        self._lock = FileLock(f"{ledger_path}{suffix}", thread_local=False, mode=0o600)

    def acquire(self, wait_s: float | None) -> bool:
        """Take the lock, waiting at most `wait_s` seconds (None: for ever); whether it was taken.

        Raises LedgerFailed when its file cannot be made.
        """
        try:
            self._make()
            self._lock.acquire(timeout=-1 if wait_s is None else wait_s, poll_interval=_POLL_S)
        except Timeout:
            return False
        except OSError as exc:
            raise _failed(Path(self._lock.lock_file), exc) from exc
        return True

    def _make(self) -> None:
        """filelock takes a file that cannot be made for one that another process just removed, and tries for ever."""
        path = self._lock.lock_file
        if not os.path.lexists(path):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def release(self) -> None:
        """Let go; harmless when it is not held."""
        self._lock.release()

    @property
    def is_held(self) -> bool:
        return bool(self._lock.is_locked)

    def __enter__(self) -> "Lock":
        self.acquire(None)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def _failed(path: Path, exc: OSError) -> LedgerFailed:
    return LedgerFailed(
        f"{path}, which lies beside the ledger, cannot be written: {exc.strerror or exc}",
        hint="nothing more was sent; check the disk (space, permissions), then run `oms submit` to go on",
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest epoch and event a ledger is known to have had, and who wrote that down."""

    ledger_id: str
    epoch: int
    seq: int
    pid: int
    file: str  # which file it was: birth.identity


class MarkFile:
    """The `.mark` file of one ledger, kept open while its run writes."""

    def __init__(self, ledger_path: Path) -> None:
        self.path = Path(f"{ledger_path}.mark")
        self._fd: int | None = None

    def read(self) -> Mark | None:
        """What the file says; None when there is none or it cannot be read as one."""
        try:
            raw = json.loads(self.path.read_bytes())
            return Mark(str(raw["id"]), int(raw["epoch"]), int(raw["seq"]), int(raw["pid"]), str(raw["file"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, mark: Mark, *, durable: bool = False) -> None:
        """Replace the mark in place; with `durable` it is on the disk when this returns.

        After every commit it is only handed to the kernel: that survives the death of the process, and costs
        nothing. Losing it to a power cut makes the next start read the account again, which is safe. Raises
        LedgerFailed when the disk fails; then nothing may be sent on the strength of the commit before it.
        """
        text = msgspec.json.encode(
            {"id": mark.ledger_id, "epoch": mark.epoch, "seq": mark.seq, "pid": mark.pid, "file": mark.file}
        )
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, text.ljust(_MARK_WIDTH), 0)
            if durable:
                os.fsync(self._fd)
        except OSError as exc:
            raise _failed(self.path, exc) from exc

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Locks:
    """The three locks and the mark of one ledger."""

    def __init__(self, ledger_path: Path) -> None:
        self.writer = Lock(ledger_path, ".lock")
        self.recording = Lock(ledger_path, ".recording")
        self.gate = Lock(ledger_path, ".gate")
        self.mark = MarkFile(ledger_path)

    def take_writer(self, wait_s: float | None) -> None:
        """Become the one sender of this ledger. Raises LedgerBusy naming the holder after `wait_s` seconds."""
        if not self.writer.acquire(wait_s):
            raise LedgerBusy(
                f"another process sends from this ledger: {self.holder()}",
                hint="wait for it to end, or stop it; nothing was sent by this run",
            )

    def holder(self) -> str:
        """Who holds the writer lock, as far as the mark tells."""
        mark = self.mark.read()
        return f"pid {mark.pid} (epoch {mark.epoch})" if mark is not None else "holder unknown"

    def is_writer_held_elsewhere(self) -> bool:
        """Whether some other process holds the writer lock right now."""
        if self.writer.is_held:
            return False
        if self.writer.acquire(0):
            self.writer.release()
            return False
        return True

    def close(self) -> None:
        for lock in (self.writer, self.recording, self.gate):
            lock.release()
        self.mark.close()
