"""What every verb of `Oms` rests on: configuration, one ledger, runs; opened when first needed, closed once."""

import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from oms.app import views
from oms.app.tally import Memory
from oms.config import Config, load
from oms.config.values import MAX_SECONDS
from oms.errors import InputError, LedgerBusy, LedgerMissing
from oms.interrupt import Interrupt
from oms.ledger import listing, queries
from oms.ledger.ledger import Ledger, open_ledger
from oms.records import OrderRecord, Progress
from oms.venue.clock import system_now_us

if TYPE_CHECKING:
    from oms.app.line import Line
    from oms.app.runs import Runs
    from oms.submitter.ports import Ports

Report = Callable[[Progress], None]
LOCK_WAIT_S = 30


def silent(progress: Progress) -> None:
    """A progress report that nobody reads."""


class Core:
    """One environment's ledger and exchange, without verbs."""

    def __init__(
        self, config: Config, interrupt: Interrupt, *, memory: Memory | None = None, ports: "Ports | None" = None
    ) -> None:
        self.config = config
        self._interrupt = interrupt
        self._ledger: Ledger | None = None
        self._has_sent = False
        self._memory = memory or Memory()
        self._ports = ports
        self._line: Line | None = None
        self._now_us = system_now_us if ports is None else ports.now_us

    @classmethod
    def open(
        cls,
        config: Config | None = None,
        *,
        environment: str | None = None,
        interrupt: Interrupt | None = None,
    ) -> Self:
        """An object for `config`, or for what files and environment variables say. Raises ConfigError."""
        if config is None:
            flags = {"environment": environment} if environment is not None else {}
            config = load(flags, os.environ)
        return cls(config, interrupt or Interrupt())

    def order(self, name: str) -> OrderRecord:
        """One order by client_order_id, order_id, or an unambiguous start of one. Raises UnknownOrder."""
        ledger = self._open(create=False)
        entry = queries.entry_named(ledger, name)
        (row,) = listing.order_rows_by_key(ledger, [entry.order_key])
        return views.order_record(row, ledger.environment)

    def unsettled(self) -> bool:
        """Whether this object may have sent something whose outcome is not known."""
        if not self._has_sent:
            return False
        ledger = self._open_or_none()
        return ledger is None or queries.totals(ledger).doubtful > 0

    def unfinished(self) -> bool:
        """Whether this object began to send and left something queued: a failure of it is then no plain failure."""
        if not self._has_sent:
            return False
        ledger = self._open_or_none()
        return ledger is not None and queries.totals(ledger).queued > 0

    def close(self) -> None:
        """Close an open line, the ledger, and let go of its locks; harmless twice. Hooks have up to 10 s to be told."""
        line, self._line = self._line, None
        try:
            if line is not None:
                line.close()
        finally:
            if self._memory.courier is not None:
                self._memory.courier.close()
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _open(self, *, create: bool, writable: bool = False) -> Ledger:
        if self._ledger is None:
            self._ledger = open_ledger(
                self.config.ledger_url,
                self.config.environment,
                create=create,
                upgrade=create or writable,
                now_us=self._now_us(),
            )
        return self._ledger

    def _open_or_none(self) -> Ledger | None:
        try:
            return self._open(create=False)
        except LedgerMissing:
            return None

    def _refuse_beside_line(self) -> None:
        """Raise LedgerBusy while a line of this object is open; call it before a verb that sends records anything."""
        if self._line is not None and self._line.is_running:
            raise LedgerBusy(
                "a line of this Oms is open, and sends from its ledger",
                hint="close it first, or use another Oms: that waits for it as for another process",
            )

    def _runs(self, ledger: Ledger) -> "Runs":
        self._refuse_beside_line()
        from oms.app.runs import Runs  # the HTTP client and the key's cryptography: not for reading a ledger

        self._has_sent = True
        given = () if self._ports is None else (self._ports,)
        return Runs(self.config, ledger, self._interrupt, self._memory, *given)

    def _ttl_us(self, ttl_s: int | None) -> int | None:
        if ttl_s is None:
            return self.config.submit.ttl_us
        if not 0 <= ttl_s <= MAX_SECONDS:
            raise InputError(f"ttl {ttl_s} is not from 0 to {MAX_SECONDS} seconds (a year)")
        return ttl_s * 1_000_000
