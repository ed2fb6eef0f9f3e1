"""Markets as limits need to know them: from the ledger's cache while that is young enough, else from the exchange."""

from collections.abc import Collection

from msgspec.structs import replace

from oms.app.session import connect, endpoint
from oms.app.tally import Memory
from oms.config import Config
from oms.ledger import exposure
from oms.ledger.ledger import Ledger
from oms.reconciler.books import read_quotes
from oms.risk.checks import MarketFacts
from oms.risk.limits import Limits
from oms.venue.door import Venue


def read_markets(
    limits: Limits, ledger: Ledger, venue: Venue, tickers: Collection[str], now_us: int
) -> dict[str, MarketFacts]:
    """What is known of these markets, read again where it is older than the limits allow. Raises ReadFailed.

    Where a limit needs prices they are those of each market's own book: what its summary tells of them may come from a
    cache. A market that the exchange does not know has that as its status.
    """
    known = exposure.market_facts(ledger, tickers)
    oldest_us = now_us - limits.market_max_age_us
    old = [ticker for ticker in tickers if ticker not in known or known[ticker].read_at_us < oldest_us]
    if old:
        read_quotes(ledger, venue, old, lambda: now_us)
        known |= exposure.market_facts(ledger, old)
    found = {ticker: known.get(ticker) or _unknown(ticker, now_us) for ticker in tickers}
    return {ticker: _priced(venue, facts) for ticker, facts in found.items()} if limits.needs_prices else found


def connected(config: Config, memory: Memory) -> Venue:
    """The connection that runs of this process share, made here where none has been yet."""
    if memory.where is None or memory.venue is None:
        memory.where = endpoint(config)
        memory.venue = connect(config, memory.where)
    return memory.venue


def _priced(venue: Venue, facts: MarketFacts) -> MarketFacts:
    book = venue.markets.orderbook(facts.ticker)
    if book is None:
        return facts
    return replace(
        facts,
        yes_bid_e6=book.bids[0].price_e6 if book.bids else None,
        yes_ask_e6=book.asks[0].price_e6 if book.asks else None,
    )


def _unknown(ticker: str, now_us: int) -> MarketFacts:
    return MarketFacts(
        ticker=ticker,
        event_ticker="",
        status="unknown to the exchange",
        close_ts_ms=None,
        grid=(),
        yes_bid_e6=None,
        yes_ask_e6=None,
        read_at_us=now_us,
    )
