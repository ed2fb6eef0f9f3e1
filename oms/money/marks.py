"""What an open position is worth now, by what, and how old that is. PURE."""

from typing import NamedTuple

from oms.units import DOLLAR_E6

__all__ = ["Mark", "Quote", "mark"]


class Quote(NamedTuple):
    """Prices of one market as last read, of YES; None or the edge of the book is no offer."""

    bid_e6: int | None = None
    ask_e6: int | None = None
    last_e6: int | None = None
    settlement_e6: int | None = None  # once it is determined
    read_at_us: int = 0


class Mark(NamedTuple):
    """The YES price that a position is valued at."""

    price_e6: int
    source: str  # settlement | bid | ask | last
    read_at_us: int


def mark(position_e2: int, quote: Quote | None) -> Mark | None:
    """What the position could be closed at: the bid for YES, the ask for NO, else the last trade; None if unknown.

    A market that is determined is valued at what it will pay. Flat, where only the books of groups inside it are not,
    any price serves, for they cancel out: the last trade, else an offer.
    """
    if quote is None:
        return None
    bid, ask, last = ("bid", quote.bid_e6), ("ask", quote.ask_e6), ("last", quote.last_e6)
    offers = (bid, last) if position_e2 > 0 else (ask, last) if position_e2 < 0 else (last, bid, ask)
    prices = [("settlement", quote.settlement_e6), *((source, _offer(price)) for source, price in offers)]
    return next((Mark(price, source, quote.read_at_us) for source, price in prices if price is not None), None)


def _offer(price_e6: int | None) -> int | None:
    """The price, or None where it is 0 or 1: at these nothing can be offered, it is how an empty side is told."""
    return price_e6 if price_e6 is not None and 0 < price_e6 < DOLLAR_E6 else None
