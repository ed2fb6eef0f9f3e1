"""Limits at the claim: the last look at an order before it may be sent. No query, no clock, no network in here.

Judged is what may be at the exchange with this order: on the wire, in doubt, resting, held. What is queued behind it
is judged in its own turn, so that what can be there together is never over a limit, whoever recorded what meanwhile.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from oms.ledger.exposure import Exposure, asked_for, live_order
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandKind, CommandState, Reason
from oms.risk.checks import Day, MarketFacts, Recent, Refusal, change_refusal, refusal
from oms.risk.limits import Limits
from oms.risk.live import LiveOrder

__all__ = ["Gate"]


class Gate:
    """The limits of one run. Not thread-safe: the thread that claims has it."""

    def __init__(self, limits: Limits, kept: Exposure, day: Day) -> None:
        """`kept` is loaded without what is queued (`exposure.load(ledger, queued=False)`), `day` is as of then."""
        self.stale: set[str] = set()  # markets to be read again before their orders can be claimed
        self._limits = limits
        self._kept = kept
        self._day = day
        self._markets: dict[str, MarketFacts] = {}
        self._asked: dict[LiveOrder, int] = {}  # what this run has claimed, and when it was recorded

    def judge(self, entry: Entry, now_us: int) -> bool | e.Withdrawn:
        """True: it may be sent. False: not now, its market has to be read first. Else the event that ends it.

        Tell of what is claimed then with `claimed`, before the next is judged.
        """
        found = self._refusal(entry, now_us)
        if found is None:
            return True
        if found.is_stale:
            self.stale.add(entry.ticker)
            return False
        return e.Withdrawn(reason=Reason.LIMIT, detail=str(found))

    def claimed(self, entry: Entry) -> None:
        """This one is being claimed: it counts from now on, before the ledger says so."""
        self._kept.note([replace(entry, command=replace(entry.command, state=CommandState.ON_WIRE))])
        order = live_order(entry)
        if entry.command.kind is CommandKind.CREATE and order is not None:
            self._asked[order] = entry.recorded_at_us

    def note(self, entries: Iterable[Entry]) -> None:
        """Entries that facts have moved, claimed ones included (`Turn.settled`, `Ledger.on_moved`)."""
        self._kept.note(entries)

    def learn(self, markets: Iterable[MarketFacts]) -> None:
        """Markets as they have just been read."""
        for facts in markets:
            self._markets[facts.ticker] = facts
            self.stale.discard(facts.ticker)
            if facts.event_ticker:
                self._kept.live.learn_event(facts.ticker, facts.event_ticker)

    def _refusal(self, entry: Entry, now_us: int) -> Refusal | None:
        live, market = self._kept.live, self._markets.get(entry.ticker)
        # Trades of this run at the worst price they can have had, without fees; the next run knows them exactly.
        day = Day(self._day.realized_e6 + live.realized_e8 // 100)
        if entry.command.kind is CommandKind.CREATE:
            order = live_order(entry)
            # While an attempt of it may be there already it is counted, and another attempt adds nothing.
            if order is None or entry.command.live:
                return None
            recent, at_us = self._recent(order, entry), entry.recorded_at_us
            return refusal(
                self._limits,
                order,
                live=live,
                market=market,
                recent=recent,
                day=day,
                now_us=now_us,
                asked_at_us=at_us,
                reduce_only=self._limits.max_daily_loss_e6 is not None and _is_reduce_only(entry),
            )
        asked, own = asked_for(entry), self._kept.of(entry.order_key)
        if asked is None:
            return None
        return change_refusal(self._limits, own, asked, live=live, market=market, day=day, now_us=now_us)

    def _recent(self, order: LiveOrder, entry: Entry) -> Recent:
        """The equal order of this run that was recorded nearest to this one, if it is another."""
        recent = Recent()
        other_us = self._asked.get(order)
        if other_us is not None and not entry.command.attempts:
            recent.note(order, entry.recorded_at_us - abs(entry.recorded_at_us - other_us))
        return recent


def _is_reduce_only(entry: Entry) -> bool:
    return msgspec.json.decode(entry.body).get("reduce_only") is True
