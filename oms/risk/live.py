"""What is live and the most that it can cost. PURE; amounts are exact: dollars x 10^8, which is price_e6 x count_e2.

The rules, for each market and subaccount:

- A bid at p risks p per contract, an ask at p risks 1 - p: what the exchange keeps as collateral for it.
- A position risks what its open contracts cost. Contracts bought against it close it: they release their share of
  that cost (on average, rounded down), and what the pair made or lost is realized.
- An order that closes risks nothing up to the contracts held: asks against YES, bids against NO. When several would
  close, the least risky of them are taken to be the free ones, so that the risk that is left is the largest possible.
- Nothing else is netted: not bids against asks (either may fill alone), not one subaccount against another, not the
  markets of an event against each other (though only one of them may come true).

The exposure of a market is the sum of these, that of an event the sum of its markets, in total the sum of all. So
adding an order never lowers an exposure, and a fill at its price that opens leaves it as it is. An order may add more
than it costs itself: where it takes the free place of a riskier one that would close.
"""

from collections.abc import Mapping

import msgspec

from oms.lifecycle.states import Side
from oms.units import DOLLAR_E6

__all__ = ["Book", "Held", "Live", "LiveOrder", "event_of", "risk_e6"]


class LiveOrder(msgspec.Struct, frozen=True):
    """What may still trade of one order at its price."""

    ticker: str
    side: Side
    price_e6: int  # YES price
    count_e2: int
    subaccount: int = 0


class Held(msgspec.Struct, frozen=True):
    """Contracts of one market in one subaccount: positive YES, negative NO, and what those open cost."""

    position_e2: int = 0
    cost_e8: int = 0

    def filled(self, side: Side, count_e2: int, price_e6: int) -> tuple["Held", int]:
        """The position after a trade, and what it realized (dollars x 10^8, without fees)."""
        direction = 1 if side is Side.BID else -1
        unit_e6 = risk_e6(side, price_e6)
        against_e2 = max(0, -direction * self.position_e2)
        closing_e2 = min(count_e2, against_e2)
        released_e8 = self.cost_e8 * closing_e2 // against_e2 if closing_e2 else 0
        opened_e8 = (count_e2 - closing_e2) * unit_e6
        after = Held(self.position_e2 + direction * count_e2, self.cost_e8 - released_e8 + opened_e8)
        # A contract of each leg together pay one dollar.
        return after, closing_e2 * (DOLLAR_E6 - unit_e6) - released_e8


def risk_e6(side: Side, price_e6: int) -> int:
    """What one contract of an order can lose: its price for a bid, one dollar less it for an ask."""
    return price_e6 if side is Side.BID else DOLLAR_E6 - price_e6


def event_of(ticker: str) -> str:
    """The event that a ticker names in all but its last part; used where the exchange has not been asked."""
    return ticker.rpartition("-")[0] or ticker


class _Side:
    """Live contracts of one side of a book, by what each can lose."""

    def __init__(self) -> None:
        self.levels: dict[int, int] = {}  # dollars x 10^6 per contract -> count_e2
        self.cost_e8 = 0

    def add(self, unit_e6: int, count_e2: int) -> None:
        left = self.levels.get(unit_e6, 0) + count_e2
        assert left >= 0, "more was taken out than was put in"
        if left:
            self.levels[unit_e6] = left
        else:
            self.levels.pop(unit_e6, None)
        self.cost_e8 += unit_e6 * count_e2

    @property
    def count_e2(self) -> int:
        """All contracts of this side."""
        return sum(self.levels.values())

    def risk_e8(self, closing_e2: int) -> int:
        """The cost of all but the `closing_e2` least risky contracts."""
        risk_e8 = self.cost_e8
        if closing_e2 > 0:
            for unit_e6 in sorted(self.levels):
                free_e2 = min(closing_e2, self.levels[unit_e6])
                risk_e8 -= free_e2 * unit_e6
                closing_e2 -= free_e2
                if not closing_e2:
                    break
        return risk_e8


class Book:
    """Live orders and the position of one market in one subaccount."""

    def __init__(self) -> None:
        self.held = Held()
        self._sides = {Side.BID: _Side(), Side.ASK: _Side()}

    def add(self, side: Side, price_e6: int, count_e2: int) -> None:
        """Put contracts at a price into the book; a negative count takes out what was put in."""
        self._sides[side].add(risk_e6(side, price_e6), count_e2)

    def only_closes(self, side: Side, count_e2: int) -> bool:
        """Whether so many contracts more are held on the other side, after all that this side may close already."""
        against_e2 = self.held.position_e2 if side is Side.ASK else -self.held.position_e2
        return count_e2 + self._sides[side].count_e2 <= against_e2

    @property
    def exposure_e8(self) -> int:
        """The most that position and live orders can lose."""
        position_e2 = self.held.position_e2
        bids_e8 = self._sides[Side.BID].risk_e8(max(0, -position_e2))
        return self.held.cost_e8 + bids_e8 + self._sides[Side.ASK].risk_e8(max(0, position_e2))


class Live:
    """All books of an account, with the sums that limits speak of. Every change costs one book, never all of them."""

    def __init__(self, events: Mapping[str, str] | None = None) -> None:
        """`events` gives the event of tickers that the exchange was asked about."""
        self._known_events = dict(events or {})
        self._books: dict[tuple[str, int], Book] = {}
        self._markets: dict[str, int] = {}
        self._events: dict[str, int] = {}
        self.total_e8 = 0
        self.open_orders = 0
        self.realized_e8 = 0  # by the trades noted with `fill`

    @property
    def tickers(self) -> tuple[str, ...]:
        """Every market that has or had anything live, in no order."""
        return tuple(self._markets)

    def add(self, order: LiveOrder) -> None:
        """One more order is live."""
        self._change(order, order.count_e2)
        self.open_orders += 1

    def remove(self, order: LiveOrder) -> None:
        """An order that was added, with the same terms, is not live any more."""
        self._change(order, -order.count_e2)
        self.open_orders -= 1

    def hold(self, ticker: str, subaccount: int, held: Held) -> None:
        """The position of one market, in the place of what was known of it."""
        book = self._book(ticker, subaccount)
        before_e8 = book.exposure_e8
        book.held = held
        self._moved(ticker, book.exposure_e8 - before_e8)

    def fill(self, ticker: str, subaccount: int, side: Side, count_e2: int, price_e6: int) -> None:
        """Contracts were traded at this price (or a better one) and are not live any more."""
        after, realized_e8 = self.held(ticker, subaccount).filled(side, count_e2, price_e6)
        self.realized_e8 += realized_e8
        self.hold(ticker, subaccount, after)

    def held(self, ticker: str, subaccount: int) -> Held:
        """The position of one market."""
        book = self._books.get((ticker, subaccount))
        return book.held if book is not None else Held()

    def market_e8(self, ticker: str) -> int:
        """Exposure of one market, all subaccounts together."""
        return self._markets.get(ticker, 0)

    def event_e8(self, event_ticker: str) -> int:
        """Exposure of all markets of an event."""
        return self._events.get(event_ticker, 0)

    def event(self, ticker: str) -> str:
        """The event of a market."""
        return self._known_events.get(ticker) or event_of(ticker)

    def learn_event(self, ticker: str, event_ticker: str) -> None:
        """The exchange has said which event a market belongs to: its exposure moves there."""
        before = self.event(ticker)
        self._known_events[ticker] = event_ticker
        exposure_e8 = self._markets.get(ticker, 0)
        self._events[before] = self._events.get(before, 0) - exposure_e8
        self._events[event_ticker] = self._events.get(event_ticker, 0) + exposure_e8

    def added_e8(self, order: LiveOrder) -> int:
        """What an order would add to the exposure of its market, and so of its event and in total."""
        book = self._book(order.ticker, order.subaccount)
        before_e8 = book.exposure_e8
        book.add(order.side, order.price_e6, order.count_e2)
        after_e8 = book.exposure_e8
        book.add(order.side, order.price_e6, -order.count_e2)
        return after_e8 - before_e8

    def only_closes(self, order: LiveOrder) -> bool:
        """Whether an order that is not among these can do nothing but close what is held, whatever fills first.

        What is live on its side closes before it: it has to find enough contracts of its subaccount after all of that.
        """
        return self._book(order.ticker, order.subaccount).only_closes(order.side, order.count_e2)

    def _change(self, order: LiveOrder, count_e2: int) -> None:
        book = self._book(order.ticker, order.subaccount)
        before_e8 = book.exposure_e8
        book.add(order.side, order.price_e6, count_e2)
        self._moved(order.ticker, book.exposure_e8 - before_e8)

    def _moved(self, ticker: str, by_e8: int) -> None:
        event_ticker = self.event(ticker)
        self._markets[ticker] = self._markets.get(ticker, 0) + by_e8
        self._events[event_ticker] = self._events.get(event_ticker, 0) + by_e8
        self.total_e8 += by_e8

    def _book(self, ticker: str, subaccount: int) -> Book:
        book = self._books.get((ticker, subaccount))
        if book is None:
            book = self._books[ticker, subaccount] = Book()
        return book
