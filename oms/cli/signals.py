"""SIGINT and SIGTERM. During a run the first one asks it to stop and the second ends the process at once;
everywhere else (parsing, reading input, asking, printing) the first one ends the command.

A run that is asked to stop claims nothing more, waits for the answers in flight and commits (design 8); ending at once
is safe too (P5), it only leaves more in doubt for the next start.
"""

import os
import select
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
        self._asked: int | None = None  # the signal that asked the run to stop
        self._wakeup, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def install(self) -> None:
        """Take over both signals for the rest of the process.

        Also where they came ignored: a shell script does that to every job in its background, and stopping in good
        order is what whoever sends one there wants.
        """
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._handle)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self._asked is not None:
            os._exit(128 + signum)
        if self._run is None:
            raise Interrupted(signum)
        self._asked = signum
        self._run.request(signum)

    def close(self) -> None:
        """The command has ended: a signal from here on ends the process without a word."""
        self._asked = self._asked or signal.SIGTERM
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._wakeup)

    def read(self, descriptor: int, size: int) -> bytes:
        """Read what is there, waiting for it; a signal ends the waiting however close to its beginning it comes."""
        while True:
            # A read that has just begun does not see a signal that came just before it; select sees the pipe.
            ready, _, _ = select.select([descriptor, self._wakeup], [], [])
            if self._wakeup in ready:
                os.read(self._wakeup, 64)  # the handler runs before the next line
            if descriptor in ready:
                return os.read(descriptor, size)

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
        if self._asked is not None:
            raise Interrupted(self._asked)
        try:
            yield
        finally:
            self._run = run


class InterruptibleInput:
    """Standard input of a run: waiting for it ends at a signal, since nothing is recorded before its end is read."""

    def __init__(self, stream: BinaryIO, signals: Signals) -> None:
        self._stream = stream
        self._signals = signals

    def read(self, size: int) -> bytes:
        """What is there, at most `size` bytes; empty only at the end."""
        try:
            descriptor = self._stream.fileno()
        except OSError:  # not a stream of the operating system's
            return self._stream.read(size)
        with self._signals.asking():
            return self._signals.read(descriptor, size)
