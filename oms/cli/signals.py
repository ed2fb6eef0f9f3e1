"""SIGINT and SIGTERM. During a run the first one asks it to stop and the second ends the process at once;
everywhere else (parsing, reading input, asking, printing) the first one ends the command.

A run that is asked to stop claims nothing more, waits for the answers in flight and commits (design 8); ending at once
is safe too (P5), it only leaves more in doubt for the next start.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO, Protocol


class Interrupted(KeyboardInterrupt):
    """A signal ended the command outside a run."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


class Stoppable(Protocol):
    """The part of `oms.interrupt.Interrupt` that a signal needs."""

    def request(self, signum: int) -> None: ...


class Signals:
    """Which of the two meanings a signal has at the moment."""

    def __init__(self) -> None:
        self._run: Stoppable | None = None
        self._asked_to_stop = False

    def install(self) -> None:
        """Take over both signals for the rest of the process. A signal that is ignored (nohup) stays ignored."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._handle)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self._asked_to_stop:
            os._exit(128 + signum)
        if self._run is None:
            raise Interrupted(signum)
        self._asked_to_stop = True
        self._run.request(signum)

    @contextmanager
    def running(self, run: Stoppable) -> Iterator[None]:
        """Within: a signal asks this run to stop."""
        self._run = run
        try:
            yield
        finally:
            self._run = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Within a run: a signal ends the command, since it waits for a person and nothing was recorded yet."""
        run, self._run = self._run, None
        try:
            yield
        finally:
            self._run = run


class InterruptibleInput:
    """Standard input of a run: waiting for it ends at a signal, since nothing is recorded before its end is read."""

    def __init__(self, stream: BinaryIO, signals: Signals) -> None:
        self._stream = stream
        self._signals = signals

    def read(self, size: int = -1) -> bytes:
        """As a binary stream's `read`."""
        with self._signals.asking():
            return self._stream.read(size)

    def readline(self, size: int = -1) -> bytes:
        """As a binary stream's `readline`."""
        with self._signals.asking():
            return self._stream.readline(size)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line
