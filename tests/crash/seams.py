"""Where a life of oms can be ended: every point at which something outside the process changes.

`install` wraps the product from outside, in a process that was forked for one life; the product knows nothing of it.
Each seam is numbered in the order in which it is passed, written to a trace, and the n-th ends the process by SIGKILL
in the middle of whatever its threads are doing.

Seams: before and after every commit and every checkpoint of the ledger, after a lock was taken, after the mark file was
written (which ends a turn); before the first byte of a write leaves, after half of it, after all of it, after its
answer was read; after an answer to a read; after conclusions were recorded.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Plan:
    """Which seam ends this life (0: none), or which one matching `at` does, and where the trace goes."""

    nth: int
    at: str
    trace: int

    def __post_init__(self) -> None:
        self._passed = 0
        self._matched = 0
        self._lock = threading.Lock()

    _passed: int = 0
    _matched: int = 0
    _lock: Any = None

    def seam(self, name: str) -> None:
        """Note that a seam was reached; do not return from the one that ends this life."""
        with self._lock:
            self._passed += 1
            self._matched += self.at in name
            os.write(self.trace, f"{name}\n".encode())
            if self.nth and (self._matched if self.at else self._passed) == self.nth:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()


def install(plan: Plan) -> None:
    """Put the seams in place; for a process that has not opened anything yet."""
    from oms.ledger import engine, lock
    from oms.reconciler import apply
    from oms.venue import sockets, transport

    _around_commits(plan, engine)
    _around(plan, engine, "checkpoint", "checkpoint", before=True)
    _around_locks(plan, lock.Lock)
    _around(plan, lock.MarkFile, "write", "mark")
    _around(plan, apply, "apply", "conclusion")
    _around(plan, transport.Channel, "write", "answer")
    _around(plan, transport.Channel, "read", "read")
    _around_bytes(plan, sockets._DeadlineSocket)


def _around(plan: Plan, owner: Any, name: str, label: str, *, before: bool = False) -> None:
    real: Callable[..., Any] = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before:
            plan.seam(f"before {label}")
        result = real(*args, **kwargs)
        plan.seam(f"after {label}")
        return result

    setattr(owner, name, wrapped)


def _around_commits(plan: Plan, engines: Any) -> None:
    real: Callable[[Path], Any] = engines.writer_engine

    def writer_engine(path: Path) -> Any:
        engine = real(path)
        _around(plan, engine.dialect, "do_commit", "commit", before=True)
        return engine

    engines.writer_engine = writer_engine


def _around_locks(plan: Plan, kind: Any) -> None:
    real: Callable[..., bool] = kind.acquire

    def acquire(self: Any, wait_s: float | None) -> bool:
        taken = real(self, wait_s)
        if taken:
            plan.seam(f"after {Path(self._lock.lock_file).suffix}")
        return taken

    kind.acquire = acquire


def _around_bytes(plan: Plan, kind: Any) -> None:
    real: Callable[[Any, bytes], None] = kind.sendall

    def sendall(self: Any, data: bytes) -> None:
        if data.startswith(b"GET "):
            real(self, data)
            return
        plan.seam("before first byte")
        real(self, data[: len(data) // 2])
        plan.seam("after half")
        real(self, data[len(data) // 2 :])
        plan.seam("after all bytes")

    kind.sendall = sendall
