"""An account's positions and profit from its trades and settlements in the order of time. PURE.

Three ways of keeping the same books: by market (what the account holds), by day (when profit was realized, in days of
UTC), and by group, a tag or a batch, each with positions of its own. Groups may hold against each other what the
account does not hold at all, so their realized profits differ from the account's, which nets them; realized and
unrealized together, valued at one price a market, add up to the account's exactly.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from oms.money.marks import Mark, Quote, mark
from oms.money.positions import Position, Settled, TradeRow
from oms.units import DOLLAR_E6

__all__ = ["Books", "Closing", "Line", "Market", "Standing", "keep", "unvalued"]

DAY_MS = 86_400_000


class Market(NamedTuple):
    """Where a position is held."""

    ticker: str
    subaccount: int


class Standing(NamedTuple):
    """What a subaccount's cash has gone through up to an instant."""

    trades_e8: int = 0
    settlements_e8: int = 0
    fees_e6: int = 0


class Closing(NamedTuple):
    """What a settlement did to the position of these books."""

    settled: Settled
    position_e2: int  # that it closed
    payout_e8: int | None  # what it paid, by count and value; None where no value is known and it closed nothing
    realized_e8: int


@dataclass(slots=True)
class Line:
    """What came of some of the trades; `unrealized_e8` is None while the value of an open position is not known."""

    fills: int = 0
    volume_e2: int = 0
    fees_e6: int = 0
    realized_e8: int = 0
    unrealized_e8: int | None = 0
    position_e2: int = 0

    @property
    def total_e8(self) -> int | None:
        """Realized and unrealized profit less fees."""
        if self.unrealized_e8 is None:
            return None
        return self.realized_e8 + self.unrealized_e8 - 100 * self.fees_e6

    def add(self, position: Position, value: Mark | None) -> None:
        """Add what came of one position."""
        self.fills += position.fills
        self.volume_e2 += position.volume_e2
        self.fees_e6 += position.fees_e6
        self.realized_e8 += position.realized_e8
        self.position_e2 += position.position_e2
        if position.position_e2 and value is None:
            self.unrealized_e8 = None
        elif value is not None and self.unrealized_e8 is not None:
            self.unrealized_e8 += position.unrealized_e8(value.price_e6)


@dataclass(slots=True)
class Books:
    """The books after a stream of trades and settlements."""

    positions: dict[Market, Position] = field(default_factory=dict)
    groups: dict[Market, dict[str | None, Position]] = field(default_factory=dict)
    days: dict[int, Line] = field(default_factory=dict)  # by days since 1970; their unrealized profit is not kept
    closings: list[Closing] = field(default_factory=list)
    # By instant (ms) and subaccount; none where nothing was traded by then.
    standings: dict[int, dict[int, Standing]] = field(default_factory=dict)
    # Where a position moved after the instant from which it is watched: every count it has had since.
    moved: dict[Market, set[int]] = field(default_factory=dict)

    def of_group(self, ticker: str, subaccount: int, group: str | None) -> Position:
        """A group's own position in a market."""
        own = self.groups.get((ticker, subaccount))  # type: ignore[call-overload]
        if own is None:
            own = self.groups[Market(ticker, subaccount)] = {}
        position: Position | None = own.get(group)
        if position is None:
            position = own[group] = Position()
        return position

    def marks(self, quotes: Mapping[str, Quote]) -> dict[Market, Mark | None]:
        """What each position is valued at; a market's subaccounts each by their own side."""
        return {
            market: mark(position.position_e2, quotes.get(market.ticker)) for market, position in self.positions.items()
        }

    def total(self, marks: Mapping[Market, Mark | None]) -> Line:
        """Everything together."""
        line = Line()
        for market, position in self.positions.items():
            line.add(position, marks.get(market))
        return line

    def by_market(self, marks: Mapping[Market, Mark | None]) -> dict[str, Line]:
        """By ticker, all subaccounts together."""
        lines: dict[str, Line] = {}
        for market, position in self.positions.items():
            lines.setdefault(market.ticker, Line()).add(position, marks.get(market))
        return lines

    def by_group(self, marks: Mapping[Market, Mark | None]) -> dict[str | None, Line]:
        """By group; every group's positions of a market are valued at the account's price for it."""
        lines: dict[str | None, Line] = {}
        for market, positions in self.groups.items():
            for group, position in positions.items():
                lines.setdefault(group, Line()).add(position, marks.get(market))
        return lines


_NEVER_MS = 2**63
_NOTHING_WATCHED: Mapping[Market, int] = {}


def keep(
    trades: Iterable[TradeRow],
    settlements: Iterable[Settled] = (),
    *,
    grouped: bool = False,
    daily: bool = False,
    watch_ms: Mapping[Market, int] = _NOTHING_WATCHED,
    instants: Collection[int] = (),
) -> Books:
    """Keep books over trades in the order of time (ValueError if not) and settlements in any order.

    A settlement comes after the trades of its millisecond; one whose value is not known closes nothing. `instants` (ms)
    are those to note the cash of, each at the end of its millisecond; `watch_ms` from when on a market's counts are
    kept.
    """
    books = Books()
    first_watch_ms = min(watch_ms.values(), default=_NEVER_MS)
    positions = books.positions
    day = _day_taker(books) if daily else None
    later = _Later(books, settlements, instants, day, watch_ms)
    due_ms, newest_ms = later.due_ms, 0
    for ticker, subaccount, signed_e2, price_e6, fee_e6, ts_ms, group, _ in trades:
        if ts_ms > due_ms:
            due_ms = later.catch_up(ts_ms)
        if ts_ms < newest_ms:
            raise ValueError("trades are not in the order of time")
        newest_ms = ts_ms
        # A plain tuple finds what a Market was put in as.
        position = positions.get((ticker, subaccount))  # type: ignore[call-overload]
        if position is None:
            position = positions[Market(ticker, subaccount)] = Position()
        before_e2, before_e8 = position.position_e2, position.flow_e8 + position.basis_e8
        position.trade(signed_e2, price_e6, fee_e6)
        if day is not None:
            day(ts_ms, 1, signed_e2, fee_e6, position.flow_e8 + position.basis_e8 - before_e8)
        if grouped:
            books.of_group(ticker, subaccount, group).trade(signed_e2, price_e6, fee_e6)
        if ts_ms > first_watch_ms and ts_ms > watch_ms.get(Market(ticker, subaccount), _NEVER_MS):
            books.moved.setdefault(Market(ticker, subaccount), {before_e2}).add(position.position_e2)
    later.catch_up(_NEVER_MS)
    return books


class _Later:
    """Settlements and instants in the order of time, each taken when the trades before it were."""

    def __init__(
        self,
        books: Books,
        settlements: Iterable[Settled],
        instants: Iterable[int],
        day: "_Taker | None",
        watch_ms: Mapping[Market, int],
    ) -> None:
        self._books = books
        self._day = day
        self._watch_ms = watch_ms
        self._paid_e8: dict[int, int] = {}
        due: list[tuple[int, str, int, Settled | None]] = [(x.ts_ms, x.ticker, x.subaccount, x) for x in settlements]
        due += [(ms, "\U0010ffff", 0, None) for ms in instants]  # after every ticker of its millisecond
        self._due = sorted(due, key=lambda each: each[:3], reverse=True)

    @property
    def due_ms(self) -> int:
        return self._due[-1][0] if self._due else _NEVER_MS

    def catch_up(self, ts_ms: int) -> int:
        """Take what comes before the trades of that millisecond; when the next is due."""
        while self._due and self._due[-1][0] < ts_ms:
            ms, _, _, settled = self._due.pop()
            if settled is None:
                self._books.standings[ms] = self._standing()
            else:
                paid_e8 = _settle(self._books, settled, self._day, self._watch_ms)
                self._paid_e8[settled.subaccount] = self._paid_e8.get(settled.subaccount, 0) + paid_e8
        return self.due_ms

    def _standing(self) -> dict[int, Standing]:
        found: dict[int, Standing] = {}
        for market, position in self._books.positions.items():
            so_far = found.get(market.subaccount) or Standing(0, self._paid_e8.get(market.subaccount, 0), 0)
            found[market.subaccount] = so_far._replace(
                trades_e8=so_far.trades_e8 + position.cash_e8, fees_e6=so_far.fees_e6 + position.fees_e6
            )
        return {of: each._replace(trades_e8=each.trades_e8 - each.settlements_e8) for of, each in found.items()}


_Taker = Callable[[int, int, int, int, int], None]


def _day_taker(books: Books) -> _Taker:
    days = books.days

    def take(ts_ms: int, fills: int, signed_e2: int, fee_e6: int, realized_e8: int) -> None:
        line = days.get(ts_ms // DAY_MS)
        if line is None:
            line = days[ts_ms // DAY_MS] = Line(unrealized_e8=None)
        line.fills += fills
        line.volume_e2 += abs(signed_e2)
        line.fees_e6 += fee_e6
        line.realized_e8 += realized_e8

    return take


def _settle(books: Books, settled: Settled, take: _Taker | None, watch_ms: Mapping[Market, int]) -> int:
    """Close what is open; what that paid (dollars x 10^8)."""
    market = Market(settled.ticker, settled.subaccount)
    payout_e6 = settled.payout_e6
    position = books.positions.get(market)
    held_e2 = 0 if position is None else position.position_e2
    if payout_e6 is None or position is None:
        books.closings.append(Closing(settled, held_e2, None if payout_e6 is None else 0, 0))
        return 0
    before_e8 = position.realized_e8
    position.settle(payout_e6)
    realized_e8 = position.realized_e8 - before_e8
    paid_e8 = held_e2 * payout_e6 if held_e2 > 0 else -held_e2 * (DOLLAR_E6 - payout_e6)
    books.closings.append(Closing(settled, held_e2, paid_e8, realized_e8))
    for own in books.groups.get(market, {}).values():  # which may hold something where the account holds nothing
        own.settle(payout_e6)
    if not held_e2:
        return 0
    if take is not None:
        take(settled.ts_ms, 0, 0, 0, realized_e8)
    if settled.ts_ms > watch_ms.get(market, _NEVER_MS):
        books.moved.setdefault(market, {held_e2}).add(0)
    return paid_e8


def unvalued(books: Books, marks: Mapping[Market, Mark | None]) -> Iterator[Market]:
    """Open positions of which no price is known."""
    return (m for m, position in books.positions.items() if position.position_e2 and marks.get(m) is None)
