"""Batches handed to a run while it sends: recorded in its next turn, the same transaction that may claim them (P1).

Whoever hands one in waits until it is durable, whatever became of the sending. One that cannot be recorded is refused
alone: it writes nothing, and neither its neighbors nor the answers of that turn are touched. What the run never took
was never recorded, and is told so.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.engine import Connection

from oms.errors import LedgerBusy, OmsError
from oms.intake.intents import Intent
from oms.ledger.record import NewBatch, RecordedBatch, record_within


@dataclass(slots=True)
class _Handed:
    """One batch on its way into the ledger."""

    batch: NewBatch
    intents: Sequence[Intent]
    check_new: Callable[[], None]
    outcome: RecordedBatch | OmsError | None = None  # of a turn that may not yet be durable
    is_settled: threading.Event = field(default_factory=threading.Event)


class Tray:
    """Between threads that place orders and the one that writes the ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Handed] = []
        self._taken: list[_Handed] = []
        self._wake: Callable[[], None] = _nobody
        self._is_open = True
        self._why = ""
        self._is_settled = threading.Event()  # a run looks after it, or none ever will

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self._is_open

    # -- for those who place ----------------------------------------------------------------------------------------

    def hand(self, batch: NewBatch, intents: Sequence[Intent], check_new: Callable[[], None]) -> RecordedBatch:
        """Have a batch recorded; durable on return. From any thread.

        `check_new` is asked where it is new, and raises for what is wrong only then. Raises what it raises and what
        `record_within` does, LedgerBusy where no run takes it: then nothing was recorded. Any other error is that of
        the ledger itself, and says whether the run may have recorded it.
        """
        handed = _Handed(batch, intents, check_new)
        with self._lock:
            if not self._is_open:
                raise self._refusal()
            self._waiting.append(handed)
            wake = self._wake
        wake()
        handed.is_settled.wait()
        assert handed.outcome is not None
        if isinstance(handed.outcome, OmsError):
            raise handed.outcome
        return handed.outcome

    def close(self) -> None:
        """Take nothing more; what was handed in is still recorded, by a run that is under way."""
        with self._lock:
            self._is_open = False
            wake = self._wake
        wake()

    def await_run(self) -> None:
        """Wait until a run looks after it, or has ended before it could."""
        self._is_settled.wait()

    def _refusal(self) -> LedgerBusy:
        why = f": {self._why}" if self._why else ""
        return LedgerBusy(f"the line has ended, and these orders were not recorded{why}", hint="open another line")

    # -- for the run --------------------------------------------------------------------------------------------------

    def on_handed(self, wake: Callable[[], None]) -> None:
        """What makes the run look up, called from the threads that place."""
        with self._lock:
            self._wake = wake
        self._is_settled.set()

    def record(self, connection: Connection, now_us: int) -> int:
        """Record what has been handed in, in the caller's transaction; the number of the newest event, 0 for none."""
        with self._lock:
            self._taken, self._waiting = self._waiting, []
        newest_seq = 0
        for handed in self._taken:
            try:
                handed.outcome, seq = record_within(connection, handed.batch, handed.intents, now_us, handed.check_new)
                newest_seq = seq or newest_seq
            except OmsError as exc:  # found before anything of it was written
                handed.outcome = exc
        return newest_seq

    def committed(self) -> None:
        """That transaction is durable: those who wait may go on."""
        for handed in self._taken:
            handed.is_settled.set()
        self._taken = []

    def end(self, failure: OmsError | None = None, why: str = "") -> None:
        """The run is over, for this reason: nobody may wait for it any more. Harmless twice."""
        with self._lock:
            self._is_open, self._wake = False, _nobody
            self._why = self._why or why or (failure.message if failure is not None else "")
            taken, self._taken, waiting, self._waiting = self._taken, [], self._waiting, []
        for handed in taken:  # of a transaction that failed: it may be durable all the same
            handed.outcome = failure or handed.outcome
            handed.is_settled.set()
        for handed in waiting:
            handed.outcome = self._refusal()
            handed.is_settled.set()
        self._is_settled.set()


def _nobody() -> None:
    """No run to wake."""
