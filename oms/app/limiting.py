"""Limits of a run that sends: the gate of its claims, kept up to date by whatever moves, and its markets read again."""

from collections.abc import Collection

from oms.app.facts import read_markets
from oms.config import Config
from oms.ledger import exposure
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.risk.checks import Day
from oms.submitter.gate import Gate
from oms.venue.door import Venue


class Limiting:
    """One run's gate. From now until the run ends every entry that the ledger moves is told to it."""

    def __init__(self, config: Config, ledger: Ledger, venue: Venue) -> None:
        limits = config.limits
        day = Day() if limits.max_daily_loss_e6 is None else exposure.day(ledger, venue.clock.now_us())
        self.gate = Gate(limits, exposure.load(ledger, queued=False), day)
        self._config, self._ledger, self._venue = config, ledger, venue
        told = ledger.on_moved

        def moved(entries: Collection[Entry]) -> None:
            told(entries)
            self.gate.note(entries)

        ledger.on_moved = moved

    def read(self, tickers: Collection[str]) -> None:
        """Read what the gate waits for, and what would come next. Raises ReadFailed."""
        wanted = self.gate.stale | set(tickers)
        now_us = self._venue.clock.now_us()
        self.gate.learn(read_markets(self._config.limits, self._ledger, self._venue, wanted, now_us).values())


def limiting(config: Config, ledger: Ledger, venue: Venue) -> Limiting | None:
    """The limits of a run; None where there are none that a claim could exceed."""
    return Limiting(config, ledger, venue) if config.limits.is_any else None
