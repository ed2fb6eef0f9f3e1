"""What a report says, added up from the ledger in one walk over its attempts and one over its trades. Reads only.

Units: times integer microseconds of UTC, latencies microseconds, money dollars x 10^8 (`_e8`) or x 10^6 (`_e6`),
contracts x 10^2 (`_e2`). The percentiles are those of every single order, none is estimated. Profit is at average cost
(`oms.money`); the position that a period begins with is worked out from all trades before it.
"""

import heapq
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from oms.ledger import export as walks
from oms.ledger import money, rates
from oms.ledger.ledger import Ledger
from oms.lifecycle.states import CommandKind
from oms.money.positions import Position, Settled

MOST_POINTS = 400  # of a line, half of it at least once there are so many
MARKETS_SHOWN = 20


@dataclass(slots=True)
class Latency:
    """How long something took, of every order: microseconds."""

    title: str
    values: Sequence[int]  # ascending

    def rank(self, per_mille: int) -> int | None:
        """The value that so many thousandths of all do not exceed; None without any."""
        if not self.values:
            return None
        return self.values[max(0, -(-len(self.values) * per_mille // 1000) - 1)]


@dataclass(slots=True)
class Rate:
    """How many attempts were begun in each second in which there were any, and what they cost."""

    attempts: dict[int, int] = field(default_factory=dict)
    # Tokens of the account's write budget, only of seconds in which it is known what that was.
    tokens: dict[int, int] = field(default_factory=dict)
    allowed: dict[int, int] = field(default_factory=dict)  # what refills in that second

    @property
    def unknown(self) -> int:
        """Attempts of seconds in which the budget is not known."""
        return sum(count for second, count in self.attempts.items() if second not in self.allowed)


@dataclass(frozen=True, slots=True)
class Point:
    """Where the money of the period stood after a trade or settlement."""

    at_us: int
    cash_e8: int  # fees taken out
    realized_e8: int  # fees taken out
    fees_e6: int


@dataclass(slots=True)
class Market:
    """One market's part in the period."""

    ticker: str
    trades: int = 0
    contracts_e2: int = 0
    position_e2: int = 0
    realized_e8: int = 0  # fees taken out
    fees_e6: int = 0


@dataclass(slots=True)
class Figures:
    """Everything a report shows."""

    environment: str
    ledger: str
    made_at_us: int
    since_us: int | None
    outcomes: list[tuple[str, str | None, int]]
    in_doubt: int
    answers: Counter[str]
    latencies: tuple[Latency, Latency]  # from recording, from sending
    rate: Rate
    points: list[Point]
    trades: dict[int, int]  # how many in each minute (minutes since 1970) in which there were any
    markets: list[Market]

    @property
    def last(self) -> Point:
        return self.points[-1] if self.points else Point(self.made_at_us, 0, 0, 0)


def gather(ledger: Ledger, since_us: int | None, now_us: int) -> Figures:
    """Add up what happened from `since_us` on, or ever."""
    answers: Counter[str] = Counter()
    rate = Rate()
    recorded, sent = _attempts(ledger, since_us, answers, rate)
    trades: dict[int, int] = {}
    points, markets = _money(ledger, since_us, trades)
    return Figures(
        environment=ledger.environment,
        ledger=ledger.ledger_id,
        made_at_us=now_us,
        since_us=since_us,
        outcomes=walks.outcomes(ledger, since_us),
        in_doubt=walks.in_doubt(ledger, since_us),
        answers=answers,
        latencies=(
            Latency("from record to acknowledgement", sorted(recorded)),
            Latency("from sending to acknowledgement", sorted(sent)),
        ),
        rate=rate,
        points=points,
        trades=trades,
        markets=sorted(markets.values(), key=lambda market: (-abs(market.realized_e8), market.ticker)),
    )


def _attempts(
    ledger: Ledger, since_us: int | None, answers: Counter[str], rate: Rate
) -> tuple["array[int]", "array[int]"]:
    recorded, sent = array("q"), array("q")
    on_wire: dict[int, int] = {}
    budgets = rates.rate_limits(ledger)
    row: Any
    for row in walks.attempts(ledger, since_us):
        _, kind, at_us, command_key, command_kind, recorded_us = row
        if kind == "claimed":
            on_wire[command_key] = at_us
            rate.attempts[at_us // 1_000_000] = rate.attempts.get(at_us // 1_000_000, 0) + 1
            _spend(rate, budgets, at_us, CommandKind(command_kind))
            answers["attempts"] += 1
            continue
        answers[kind] += 1
        claimed_us = on_wire.pop(command_key, None)
        if kind == "acknowledged" and command_kind == "create":
            recorded.append(max(0, at_us - recorded_us))
            if claimed_us is not None:
                sent.append(max(0, at_us - claimed_us))
    return recorded, sent


def _spend(rate: Rate, budgets: Sequence[rates.RateLimits], at_us: int, kind: CommandKind) -> None:
    """Count what one attempt cost of the budget there was then; nothing where that is not known."""
    place = bisect_right(budgets, at_us, key=lambda budget: budget.at_us) - 1
    if place >= 0:
        budget, second = budgets[place], at_us // 1_000_000
        rate.tokens[second] = rate.tokens.get(second, 0) + budget.cost(kind)
        rate.allowed[second] = budget.write_per_s


# -- money ----------------------------------------------------------------------------------------------------------


class _Trade(NamedTuple):
    """What is needed of a trade, in the order in which the ledger's rows begin."""

    ticker: str
    subaccount: int
    signed_e2: int
    price_e6: int
    fee_e6: int
    ts_ms: int


class _Line:
    """Points of a line, thinned out evenly once there are many; the last one is always the newest."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._newest: Point | None = None
        self._every = 1
        self._seen = 0

    def add(self, point: Point) -> None:
        self._newest = point
        self._seen += 1
        if self._seen % self._every == 0:
            self._points.append(point)
            if len(self._points) >= MOST_POINTS:
                self._points = self._points[1::2]
                self._every *= 2

    def points(self) -> list[Point]:
        """All that was kept, in order."""
        if self._newest is None or (self._points and self._points[-1] is self._newest):
            return self._points
        return [*self._points, self._newest]


def _money(ledger: Ledger, since_us: int | None, trades: dict[int, int]) -> tuple[list[Point], dict[str, Market]]:
    line = _Line()
    positions: dict[tuple[str, int], Position] = {}
    markets: dict[str, Market] = {}
    cash_e8 = realized_e8 = fees_e6 = 0
    for moved in _moves(ledger):
        position = positions.setdefault((moved.ticker, moved.subaccount), Position())
        before = (position.cash_e8, position.realized_e8, position.fees_e6)
        if isinstance(moved, _Trade):
            position.trade(moved.signed_e2, moved.price_e6, moved.fee_e6)
        elif moved.payout_e6 is not None:
            position.settle(moved.payout_e6)
        else:
            continue
        if since_us is not None and moved.ts_ms * 1000 < since_us:
            continue
        fee_e6 = position.fees_e6 - before[2]
        gained_e8 = position.realized_e8 - before[1] - fee_e6 * 100
        cash_e8 += position.cash_e8 - before[0] - fee_e6 * 100
        realized_e8 += gained_e8
        fees_e6 += fee_e6
        line.add(Point(moved.ts_ms * 1000, cash_e8, realized_e8, fees_e6))
        if isinstance(moved, _Trade):
            trades[moved.ts_ms // 60_000] = trades.get(moved.ts_ms // 60_000, 0) + 1
        _note(markets.setdefault(moved.ticker, Market(moved.ticker)), moved, gained_e8, fee_e6)
    for (ticker, _), position in positions.items():
        if ticker in markets:
            markets[ticker].position_e2 += position.position_e2
    return line.points(), markets


def _note(market: Market, moved: _Trade | Settled, gained_e8: int, fee_e6: int) -> None:
    market.realized_e8 += gained_e8
    market.fees_e6 += fee_e6
    if isinstance(moved, _Trade):
        market.trades += 1
        market.contracts_e2 += abs(moved.signed_e2)


def _moves(ledger: Ledger) -> Iterator[_Trade | Settled]:
    """Trades and settlements in the order of time; what settles a market comes after the trades of its moment."""

    def moment(moved: Any) -> tuple[int, bool]:
        return moved.ts_ms, isinstance(moved, Settled)

    trades = (_Trade(*row[:6]) for row in money.trades(ledger))
    return heapq.merge(trades, money.settlements(ledger), key=moment)
