"""The YES book of one market: price levels, first come first served within a level."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator

from oms.sandbox.orders import Order, Side


class Level:
    """The orders at one price, oldest first, and what they add up to."""

    def __init__(self) -> None:
        # A plain dict would rescan its deleted front on every fill of a long queue.
        self.orders: OrderedDict[int, Order] = OrderedDict()
        self.total_e2 = 0


class Half:
    """All bids or all asks."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.levels: dict[int, Level] = {}
        self.prices: list[int] = []  # ascending

    def best(self) -> int | None:
        """The price that trades first: the highest bid or the lowest ask."""
        if not self.prices:
            return None
        return self.prices[-1] if self.side == "bid" else self.prices[0]

    def crosses(self, price_e4: int) -> bool:
        """Would an order of the other side at this price trade at once?"""
        best = self.best()
        if best is None:
            return False
        return best >= price_e4 if self.side == "bid" else best <= price_e4

    def total_at(self, price_e4: int) -> int:
        """Contracts resting at a price, in count_e2."""
        level = self.levels.get(price_e4)
        return 0 if level is None else level.total_e2

    def best_first(self) -> Iterator[Order]:
        """All orders in the order in which they trade."""
        for price in reversed(self.prices) if self.side == "bid" else iter(self.prices):
            yield from self.levels[price].orders.values()

    def add(self, order: Order) -> None:
        """Put an order at the end of its price's queue."""
        price = order.now.price_e4
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = Level()
            insort(self.prices, price)
        level.orders[order.seq] = order
        level.total_e2 += order.now.remaining_e2

    def shrink(self, order: Order, by_e2: int) -> None:
        """Take contracts off an order; one with none left leaves. Call before its new version is made."""
        price = order.now.price_e4
        level = self.levels[price]
        level.total_e2 -= by_e2
        if by_e2 == order.now.remaining_e2:
            del level.orders[order.seq]
        if not level.orders:
            del self.levels[price]
            del self.prices[bisect_left(self.prices, price)]

    def ahead_of(self, order: Order) -> int:
        """Contracts that trade before this order does, in count_e2."""
        own = order.now.price_e4
        better = self.prices[bisect_left(self.prices, own) :] if self.side == "bid" else self.prices
        ahead = sum(
            self.levels[price].total_e2 for price in better if (price > own if self.side == "bid" else price < own)
        )
        for seq, other in self.levels[own].orders.items():
            if seq == order.seq:
                break
            ahead += other.now.remaining_e2
        return ahead


class Book:
    """Both halves of one market."""

    def __init__(self) -> None:
        self.bids = Half("bid")
        self.asks = Half("ask")

    def half(self, side: Side) -> Half:
        """The half on which an order of this side rests."""
        return self.bids if side == "bid" else self.asks

    def facing(self, side: Side) -> Half:
        """The half against which an order of this side trades."""
        return self.asks if side == "bid" else self.bids
