"""Our books against the exchange's own figures: what agrees, what does not, and what nothing explains. PURE.

The exchange's fills are the books; its positions and balances are readings of its own, each with the instant it is
true of. Nothing is adjusted to make them meet: the difference is the answer. What is not shown proves nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from oms.money.books import Books, Closing, Market, Standing
from oms.money.positions import Position, Settled, Trade, TradeRow

__all__ = [
    "BALANCE_STEP_E8",
    "BalanceTie",
    "Moved",
    "Ours",
    "PositionTie",
    "Reading",
    "Seen",
    "Sighting",
    "hold_e6",
    "revenue_gap_e8",
    "tie_balances",
    "tie_positions",
    "tie_standings",
    "weigh",
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


class Sighting(NamedTuple):
    """A position as the exchange showed it at some instant of a span (its clock), for `weigh`."""

    position_e2: int
    as_of_ms: int
    until_ms: int
    is_proven: bool = False  # that it does not tie out


class Ours(NamedTuple):
    """What our trades of one market add up to now, and the newest of them, (ms, contracts) in the order of time."""

    position_e2: int
    newest: Sequence[tuple[int, int]] = ()

    def had_since(self, since_ms: int) -> set[int]:
        """Every count that we have had since then; `newest` goes back that far."""
        counts = {self.position_e2}
        position_e2 = self.position_e2
        for ts_ms, signed_e2 in reversed(self.newest):
            if ts_ms <= since_ms:
                break
            position_e2 -= signed_e2
            counts.add(position_e2)
        return counts


def weigh(seen: Sighting, before: Sighting | None, ours: Ours, horizon_ms: int) -> Sighting | None:
    """What to keep of a position just shown: None where it ties out, proven where no trade can explain it any more.

    Figures and trades are read one after the other, and reads lag: a position may be older or newer than the trades
    that are known. So any count agrees that we have had since a horizon before the reading, and a first disagreement
    proves nothing. It is proven by a later reading that does not agree either, once trades are known up to a horizon
    after all of the earlier one, and none of them ever made what that showed.
    """
    if seen.position_e2 in ours.had_since(seen.as_of_ms - horizon_ms):
        return None
    if before is None:
        return seen
    if before.is_proven:
        return seen._replace(is_proven=True)
    if before.position_e2 in ours.had_since(before.as_of_ms - horizon_ms):
        return seen  # that one was of trades that were not known then; this is another
    if seen.as_of_ms < before.until_ms + horizon_ms:
        return before
    return seen._replace(is_proven=True)


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
    updated_ts: int | None = None  # Unix second of the balance's last change, where the exchange says it

    def has(self, moved_ts: int) -> bool | None:
        """Whether what moved the balance in that second is in it; None where that is the reading's own second.

        Nothing is in it that came after its last change; all of the second of that is, once it was over.
        """
        own_ts = self.as_of_ms // 1000
        newest_ts = own_ts if self.updated_ts is None else self.updated_ts
        if moved_ts == newest_ts >= own_ts:
            return None
        return moved_ts <= newest_ts


class Moved(NamedTuple):
    """Money that came to a subaccount (+) or left it (-) other than by trading."""

    subaccount: int
    moved_ts: int  # Unix second
    kind: str  # deposit | withdrawal | transfer
    amount_e6: int  # its fee taken off
    fee_e6: int = 0


class BalanceTie(NamedTuple):
    """What happened to a balance between two readings, and how much of it is explained."""

    earlier: Reading
    later: Reading
    trades_e8: int
    settlements_e8: int
    fees_e6: int
    moved_by: Mapping[str, int] = {}  # kind -> dollars x 10^6, the fees of deposits and withdrawals taken off
    charges_e6: int = 0  # these fees: whether they come out of the balance is not said

    @property
    def moved_e8(self) -> int:
        """By how much the balance is higher."""
        return 100 * (self.later.balance_e6 - self.earlier.balance_e6)

    @property
    def expected_e8(self) -> int:
        """By how much trades, settlements, fees, deposits, withdrawals and transfers made it higher."""
        return self.trades_e8 + self.settlements_e8 - 100 * self.fees_e6 + 100 * sum(self.moved_by.values())

    @property
    def gap_e8(self) -> int:
        """What these leave to be explained."""
        return self.moved_e8 - self.expected_e8

    @property
    def unexplained_e8(self) -> int:
        """What resting orders cannot explain either: interest, rewards, transfers between shards, trades not known.

        The exchange calls its balance available, and also says that only fills, settlements and transfers change it:
        whether resting orders are taken out of it, and those that would close a position with how much, is not certain.
        So whatever they can have held back at either reading, from nothing to all, is taken to explain the gap. Without
        resting orders it is exact.
        """
        most, least = 100 * (self.earlier.held_e6 + self.charges_e6), -100 * self.later.held_e6
        return max(0, self.gap_e8 - most) + min(0, self.gap_e8 - least)

    @property
    def is_explained(self) -> bool:
        """Whether what is left is only how a balance is told."""
        return abs(self.unexplained_e8) < BALANCE_STEP_E8


def tie_standings(
    books: Books, pairs: Iterable[tuple[Reading, Reading]], moved: Sequence[Moved] = ()
) -> list[BalanceTie]:
    """What happened between these readings of a subaccount; the books have noted the cash of their instants."""
    ties = []
    for earlier, later in pairs:
        before, after = (books.standings[each.as_of_ms].get(each.subaccount, Standing()) for each in (earlier, later))
        trades_e8, settlements_e8, fees_e6 = (now - then for now, then in zip(after, before, strict=True))
        ties.append(_with_moved(BalanceTie(earlier, later, trades_e8, settlements_e8, fees_e6), moved, set()))
    return ties


def _with_moved(tie: BalanceTie, moved: Sequence[Moved], taken: set[int]) -> BalanceTie:
    """The tie with what came and went between its readings; those that it takes are noted by their place.

    They are told in whole seconds: what moved in the very second of a reading is taken where that explains more.
    """
    by_kind: dict[str, int] = {}
    charges_e6, gap_e8 = 0, tie.gap_e8
    sure: list[tuple[int, Moved]] = []
    unsure: list[tuple[int, Moved]] = []
    for place, each in enumerate(moved):
        is_before, is_by_then = tie.earlier.has(each.moved_ts), tie.later.has(each.moved_ts)
        if each.subaccount != tie.later.subaccount or is_before or is_by_then is False:
            continue
        (unsure if is_before is None or is_by_then is None else sure).append((place, each))
    for is_sure, pairs in ((True, sure), (False, unsure)):
        for place, each in pairs:
            left_e8 = gap_e8 - 100 * each.amount_e6
            if place not in taken and (is_sure or abs(left_e8) < abs(gap_e8)):
                taken.add(place)
                gap_e8 = left_e8
                by_kind[each.kind] = by_kind.get(each.kind, 0) + each.amount_e6
                charges_e6 += each.fee_e6
    return tie._replace(moved_by=by_kind, charges_e6=charges_e6)


def hold_e6(side: str, price_e6: int, count_e2: int) -> int:
    """The most that a resting order can hold back: what it would open, and a taker's fee on it."""
    paid_e6 = price_e6 if side == "bid" else 1_000_000 - price_e6
    fee_e16 = 7 * count_e2 * price_e6 * (1_000_000 - price_e6)  # 0.07 x C x P x (1 - P), up to the next $0.0001
    return -(-count_e2 * paid_e6 // 100) - -fee_e16 // 10**12 * 100


class _Cash:
    """The cash of one subaccount, counted up from where `held` says it stood."""

    def __init__(self, held: Mapping[str, int]) -> None:
        self.positions: dict[str, Position] = {}
        for ticker, position_e2 in held.items():
            self.positions[ticker] = Position()
            self.positions[ticker].position_e2 = position_e2  # cash goes by the count alone
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
    trades: Iterable[TradeRow],
    settlements: Iterable[Settled],
    readings: Iterable[Reading],
    moved: Sequence[Moved] = (),
    held: Mapping[Market, int] | None = None,
) -> list[BalanceTie]:
    """What happened between every two readings of a subaccount that follow each other, in the order of time.

    A reading is true of the end of its millisecond. Trades in the order of time, from the beginning, or from an
    instant on at which `held` was held.
    """
    start: dict[int, dict[str, int]] = {}
    for market, position_e2 in (held or {}).items():
        start.setdefault(market.subaccount, {})[market.ticker] = position_e2
    cash: dict[int, _Cash] = {}
    last: dict[int, tuple[Reading, tuple[int, int, int]]] = {}
    ties: list[BalanceTie] = []
    taken: set[int] = set()
    for fact in _in_time(map(Trade._make, trades), settlements, readings):
        mine = cash.get(fact.subaccount)
        if mine is None:
            mine = cash[fact.subaccount] = _Cash(start.get(fact.subaccount, {}))
        if isinstance(fact, Trade):
            mine.trade(fact)
        elif isinstance(fact, Settled):
            mine.settle(fact)
        else:
            amounts = mine.amounts()
            if fact.subaccount in last:
                earlier, before = last[fact.subaccount]
                trades_e8, settlements_e8, fees_e6 = (now - then for now, then in zip(amounts, before, strict=True))
                tie = BalanceTie(earlier, fact, trades_e8, settlements_e8, fees_e6)
                ties.append(_with_moved(tie, moved, taken))
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
