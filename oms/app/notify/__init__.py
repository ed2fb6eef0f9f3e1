"""Telling people and programs what happens: at least once, in order, beside the order path and never on it.

A courier works in a thread of its own, with a connection to the ledger of its own: it is woken when a run begins and
when it ends, and a run waits for neither. What has been told is a durable cursor, moved only after the receiver took
it: what a killed process has not noted as told, the next run tells again, under the same `event_id`. One courier at a
time works for a ledger (a lock beside it); closing an `Oms` waits a bounded time for its courier.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from oms.app.notify.messages import Message, next_page
from oms.app.notify.receivers import IN_HOOK, Receiver, receivers
from oms.config import HooksConfig
from oms.errors import OmsError
from oms.ledger import deliveries
from oms.ledger.ledger import Ledger, open_ledger
from oms.ledger.lock import Lock
from oms.venue.clock import system_now_us

if TYPE_CHECKING:
    from oms.app.tally import Memory
    from oms.config import Config

DELIVERY_S = 5.0  # for one delivery
CLOSING_S = 10.0  # for all that is still to be told when an Oms is closed
_LOOK_S = 0.2

log = logging.getLogger("oms.notify")


class Envelope(msgspec.Struct, frozen=True):
    """One delivery."""

    environment: str
    ledger: str
    events: list[Message]


class Courier:
    """Tells the receivers of one ledger what they have not been told."""

    def __init__(self, hooks: HooksConfig, opened: Callable[[], Ledger]) -> None:
        """`opened` gives a connection to the ledger that is the courier's own."""
        self._wanted = hooks.events
        self._receivers = receivers(hooks)
        self._opened = opened
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_asked = False
        self._is_closing = threading.Event()
        self._complained: set[str] = set()

    def begin(self, ledger: Ledger) -> None:
        """Give new receivers a cursor, before anything happens that they should be told of; durable on return."""
        for receiver in self._receivers:
            deliveries.begin(ledger, receiver.key, system_now_us())

    def wake(self) -> None:
        """See to it that everything recorded so far is told; returns at once."""
        with self._turn:
            self._is_asked = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="oms-courier", daemon=True)
                self._thread.start()

    def close(self, wait_s: float = CLOSING_S) -> None:
        """Wait until all is told, at most so long; the rest goes out with the next run."""
        thread = self._thread
        if thread is not None:
            thread.join(wait_s)
            if thread.is_alive():
                log.warning("hooks: not everything was told within %.0f s; the rest goes out with the next run", wait_s)
        self._is_closing.set()

    @property
    def is_closed(self) -> bool:
        """Whether it tells nothing any more."""
        return self._is_closing.is_set()

    def _work(self) -> None:
        while True:
            with self._turn:
                if not self._is_asked or self._is_closing.is_set():
                    self._thread = None
                    return
                self._is_asked = False
            try:
                self._round()
            except OmsError as exc:
                self._complain("the ledger", exc.message)
            except Exception as exc:  # nothing about a hook may end the program that places orders
                self._complain("oms", f"internal error: {type(exc).__name__}: {exc}")

    def _round(self) -> None:
        with closing(self._opened()) as ledger:
            alone = Lock(ledger.path, ".courier")
            while not alone.acquire(_LOOK_S):
                if self._is_closing.is_set():
                    return
            try:
                for receiver in self._receivers:
                    self._tell(ledger, receiver)
            finally:
                alone.release()

    def _tell(self, ledger: Ledger, receiver: Receiver) -> None:
        deliveries.begin(ledger, receiver.key, system_now_us())
        while not self._is_closing.is_set():
            page = next_page(ledger, receiver.key, self._wanted)
            if page.messages:
                envelope = Envelope(ledger.environment, ledger.ledger_id, page.messages)
                problem = receiver.deliver(msgspec.json.encode(envelope), DELIVERY_S)
                if problem:
                    self._complain(receiver.name, f"{problem}; it is told again with the next run")
                    return
                self._complained.discard(receiver.name)
            if page.messages or page.told or page.seq != deliveries.cursor(ledger, receiver.key):
                deliveries.confirm(ledger, receiver.key, page.seq, page.told, system_now_us())
            else:
                return

    def _complain(self, name: str, problem: str) -> None:
        """Once for each receiver, until it takes something again."""
        if name not in self._complained:
            self._complained.add(name)
            log.warning("hooks: %s", problem)


def courier(config: "Config", memory: "Memory", ledger: Ledger) -> Courier | None:
    """The courier of this process for that ledger; None where nobody is to be told, and inside of a hook."""
    if config.hooks.is_silent or os.environ.get(IN_HOOK):
        return None
    if memory.courier is None or memory.courier.is_closed:
        url, environment = config.ledger_url, str(config.environment)
        memory.courier = Courier(config.hooks, lambda: open_ledger(url, environment, create=False, upgrade=False))
        with suppress(OmsError):  # the run itself will name what is wrong with the ledger
            memory.courier.begin(ledger)
    return memory.courier


@contextmanager
def telling(config: "Config", memory: "Memory", ledger: Ledger) -> Iterator[None]:
    """Around a run: what an earlier one left untold goes out while it works, what it did when it has ended."""
    found = courier(config, memory, ledger)
    if found is not None:
        found.wake()
    try:
        yield
    finally:
        if found is not None:
            found.wake()
