"""Our books against the exchange's own figures: what agrees, what does not, and what nothing explains. PURE.

The exchange's fills are the books; its positions and balances are readings of its own, each with the instant it is
true of. Nothing is adjusted to make them meet: the difference is the answer. What is not shown proves nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from oms.money.books import Books, Closing, Market, Standing
from oms.money.positions import Position, Settled, Trade, TradeRow

__all__ = [
    "BALANCE_STEP_E8",
    "BalanceTie",
    "PositionTie",
    "Reading",
    "Seen",
    "hold_e6",
    "revenue_gap_e8",
    "tie_balances",
    "tie_positions",
    "tie_standings",
]

# Balances are told in steps of $0.0001, cut off: less than one step is how they are told, no difference.
BALANCE_STEP_E8 = 10_000


class Seen(NamedTuple):
    """A position as the exchange showed it."""

    position_e2: int
    realized_e6: int
    fees_e6: int


class PositionTie(NamedTuple):
    """One market: our position beside the exchange's. `seen` None: it shows none there."""

    market: Market
    ours: Position
    seen: Seen | None
    recent_e2: frozenset[int]  # counts we had since the reading's instant: any of them may be what it shows

    @property
    def agrees(self) -> bool | None:
        """Whether the counts are equal; None where the exchange shows nothing and we hold something."""
        if self.seen is None:
            return True if self.ours.position_e2 == 0 else None
        return self.seen.position_e2 == self.ours.position_e2 or self.seen.position_e2 in self.recent_e2

    @property
    def fees_gap_e6(self) -> int | None:
        """Fees the exchange tells beyond those of the fills we know."""
        return None if self.seen is None else self.seen.fees_e6 - self.ours.fees_e6

    @property
    def realized_gap_e8(self) -> int | None:
        """Realized profit it tells beyond ours; it may round, and may count by another method."""
        return None if self.seen is None else 100 * self.seen.realized_e6 - self.ours.realized_e8


def tie_positions(books: Books, seen: Mapping[Market, Seen]) -> list[PositionTie]:
    """Every market that we or the exchange has a position in, or had trades in."""
    return [
        PositionTie(
            market,
            books.positions.get(market) or Position(),
            seen.get(market),
            frozenset(books.moved.get(market, ())),
        )
        for market in sorted({*books.positions, *seen})
    ]


def revenue_gap_e8(closing: Closing) -> int | None:
    """What the exchange says a settlement paid beyond what our position was worth then; None if we cannot say."""
    return None if closing.payout_e8 is None else 100 * closing.settled.revenue_e6 - closing.payout_e8


# -- the balance ----------------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A balance of one subaccount, and what resting orders could hold back of it at that instant."""

    subaccount: int
    as_of_ms: int
    balance_e6: int
    held_e6: int = 0


class BalanceTie(NamedTuple):
    """What happened to a balance between two readings, and how much of it is explained."""

    earlier: Reading
    later: Reading
    trades_e8: int
    settlements_e8: int
    fees_e6: int

    @property
    def moved_e8(self) -> int:
        """By how much the balance is higher."""
        return 100 * (self.later.balance_e6 - self.earlier.balance_e6)

    @property
    def expected_e8(self) -> int:
        """By how much trades, settlements and fees made it higher."""
        return self.trades_e8 + self.settlements_e8 - 100 * self.fees_e6

    @property
    def gap_e8(self) -> int:
        """What trades, settlements and fees leave to be explained."""
        return self.moved_e8 - self.expected_e8

    @property
    def unexplained_e8(self) -> int:
        """What resting orders cannot explain either: deposits, withdrawals, transfers, trades that we do not know of.

        The exchange calls its balance available, and also says that only fills, settlements and transfers change it:
        whether resting orders are taken out of it, and those that would close a position with how much, is not certain.
        So whatever they can have held back at either reading, from nothing to all, is taken to explain the gap. Without
        resting orders it is exact.
        """
        most, least = 100 * self.earlier.held_e6, -100 * self.later.held_e6
        return max(0, self.gap_e8 - most) + min(0, self.gap_e8 - least)

    @property
    def is_explained(self) -> bool:
        """Whether what is left is only how a balance is told."""
        return abs(self.unexplained_e8) < BALANCE_STEP_E8


def tie_standings(books: Books, pairs: Iterable[tuple[Reading, Reading]]) -> list[BalanceTie]:
    """What happened between these readings of a subaccount; the books have noted the cash of their instants."""
    ties = []
    for earlier, later in pairs:
        before, after = (books.standings[each.as_of_ms].get(each.subaccount, Standing()) for each in (earlier, later))
        amounts = (now - then for now, then in zip(after, before, strict=True))
        ties.append(BalanceTie(earlier, later, *amounts))
    return ties


def hold_e6(side: str, price_e6: int, count_e2: int) -> int:
    """The most that a resting order can hold back: what it would open, and a taker's fee on it."""
    paid_e6 = price_e6 if side == "bid" else 1_000_000 - price_e6
    fee_e16 = 7 * count_e2 * price_e6 * (1_000_000 - price_e6)  # 0.07 x C x P x (1 - P), up to the next $0.0001
    return -(-count_e2 * paid_e6 // 100) - -fee_e16 // 10**12 * 100


class _Cash:
    """The cash of one subaccount, counted up."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.trades_e8 = 0
        self.settlements_e8 = 0
        self.fees_e6 = 0

    def trade(self, trade: Trade) -> None:
        position = self.positions.setdefault(trade.ticker, Position())
        before = position.cash_e8
        position.trade(trade.signed_e2, trade.price_e6)
        self.trades_e8 += position.cash_e8 - before
        self.fees_e6 += trade.fee_e6

    def settle(self, settled: Settled) -> None:
        position, payout = self.positions.get(settled.ticker), settled.payout_e6
        if position is not None and payout is not None:
            before = position.cash_e8
            position.settle(payout)
            self.settlements_e8 += position.cash_e8 - before

    def amounts(self) -> tuple[int, int, int]:
        return self.trades_e8, self.settlements_e8, self.fees_e6


def tie_balances(
    trades: Iterable[TradeRow], settlements: Iterable[Settled], readings: Iterable[Reading]
) -> list[BalanceTie]:
    """What happened between every two readings of a subaccount that follow each other, in the order of time.

    A reading is true of the end of its millisecond. Trades in the order of time.
    """
    cash: dict[int, _Cash] = {}
    last: dict[int, tuple[Reading, tuple[int, int, int]]] = {}
    ties: list[BalanceTie] = []
    for fact in _in_time(map(Trade._make, trades), settlements, readings):
        mine = cash.setdefault(fact.subaccount, _Cash())
        if isinstance(fact, Trade):
            mine.trade(fact)
        elif isinstance(fact, Settled):
            mine.settle(fact)
        else:
            amounts = mine.amounts()
            if fact.subaccount in last:
                earlier, before = last[fact.subaccount]
                trades_e8, settlements_e8, fees_e6 = (now - then for now, then in zip(amounts, before, strict=True))
                ties.append(BalanceTie(earlier, fact, trades_e8, settlements_e8, fees_e6))
            last[fact.subaccount] = fact, amounts
    return ties


def _in_time(
    trades: Iterable[Trade], settlements: Iterable[Settled], readings: Iterable[Reading]
) -> Iterator[Trade | Settled | Reading]:
    """All together by time; of one millisecond the trades first, then settlements, then readings."""
    others = [(each.ts_ms, 0, each) for each in settlements] + [(each.as_of_ms, 1, each) for each in readings]
    others.sort(key=lambda each: (each[0], each[1], each[2].subaccount), reverse=True)
    for trade in trades:
        while others and others[-1][0] < trade.ts_ms:
            yield others.pop()[2]
        yield trade
    while others:
        yield others.pop()[2]
