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
from oms.venue.door import Venue


class Facts:
    """Reads markets over the connection that runs of this process share."""

    def __init__(self, config: Config, memory: Memory) -> None:
        self._config = config
        self._memory = memory

    def read(self, ledger: Ledger, tickers: Collection[str], prices: bool, now_us: int) -> dict[str, MarketFacts]:
        """What is known of these markets, none of it older than the limits allow. Raises ReadFailed.

        `prices` asks for the best prices of each market's own book: what a market's summary tells of them may come
        from a cache. A market that the exchange does not know has that as its status.
        """
        known = exposure.market_facts(ledger, tickers)
        oldest_us = now_us - self._config.limits.market_max_age_us
        old = [ticker for ticker in tickers if ticker not in known or known[ticker].read_at_us < oldest_us]
        if old:
            read_quotes(ledger, self._venue(), old, lambda: now_us)
            known |= exposure.market_facts(ledger, old)
        found = {ticker: known.get(ticker) or _unknown(ticker, now_us) for ticker in tickers}
        return {ticker: self._priced(facts) for ticker, facts in found.items()} if prices else found

    def _priced(self, facts: MarketFacts) -> MarketFacts:
        book = self._venue().markets.orderbook(facts.ticker)
        if book is None:
            return facts
        return replace(
            facts,
            yes_bid_e6=book.bids[0].price_e6 if book.bids else None,
            yes_ask_e6=book.asks[0].price_e6 if book.asks else None,
        )

    def _venue(self) -> Venue:
        memory = self._memory
        if memory.where is None or memory.venue is None:
            memory.where = endpoint(self._config)
            memory.venue = connect(self._config, memory.where)
        return memory.venue


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
