"""The verbs of `Oms` about the account's money: fills, positions, profit and loss, balances, settlements, transfers.

They answer from the ledger; `reconcile` brings it up to date. Only `quotes` asks the exchange, for prices.
"""

from collections.abc import Iterator

from oms.app.core import Core
from oms.errors import InputError
from oms.records import BalanceRecord, FillRecord, PnlReport, PositionRecord, SettlementRecord, TransferRecord


class Accounting(Core):
    """The part of `Oms` that tells of the account's money."""

    def fills(
        self,
        *,
        ticker: str | None = None,
        since_us: int | None = None,
        order: str | None = None,
        limit: int | None = None,
    ) -> Iterator[FillRecord]:
        """Fills of the account, newest first, streamed; also those of orders made elsewhere.

        `order` is any name of an order of this ledger, or an order_id. Raises LedgerMissing, UnknownOrder.
        """
        from oms.app import statements
        from oms.ledger.money import Wanted

        ledger = self._open(create=False)
        order_id = None if order is None else self._order_id(order)
        since_ms = None if since_us is None else -(-since_us // 1000)
        return statements.fills(ledger, Wanted(ticker=ticker, since_ms=since_ms, order_id=order_id), limit)

    def positions(self, *, closed: bool = False, quotes: bool = False) -> list[PositionRecord]:
        """Open positions from our fills, each beside the exchange's own; with `closed` also those that are flat.

        With `quotes`, prices are asked for first. Raises LedgerMissing, ReadFailed.
        """
        from oms.app import statements

        ledger = self._open(create=False)
        if quotes:
            self.quotes()
        return statements.positions(ledger, closed=closed)

    def pnl(self, *, by: str = "market", quotes: bool = False) -> PnlReport:
        """Profit and loss by "market", "day", "tag" or "batch", in total, and every part that does not tie out.

        With `quotes`, prices are asked for first. Raises InputError, LedgerMissing, ReadFailed.
        """
        from oms.app import statements

        if by not in statements.BY:
            raise InputError(f"{by!r} is nothing to add up by", hint=f"one of {', '.join(statements.BY)}")
        ledger = self._open(create=False)
        if quotes:
            self.quotes()
        return statements.pnl(ledger, by)

    def balances(self, *, limit: int | None = None) -> list[BalanceRecord]:
        """Readings of balances, newest first, each explained since the one before. Raises LedgerMissing."""
        from oms.app import statements

        return statements.balances(self._open(create=False), limit)

    def settlements(self, *, limit: int | None = None) -> list[SettlementRecord]:
        """Settled markets, newest first, each beside what our fills add up to. Raises LedgerMissing."""
        from oms.app import statements

        return statements.settlements(self._open(create=False), limit)

    def transfers(self, *, limit: int | None = None) -> list[TransferRecord]:
        """Deposits, withdrawals and transfers between subaccounts, newest first. Raises LedgerMissing."""
        from oms.app import statements

        return statements.transfers(self._open(create=False), limit)

    def quotes(self) -> int:
        """Ask the exchange for the prices of every market that a position is open in; how many it told.

        They are kept with the time they were read. Raises LedgerMissing, ReadFailed.
        """
        from oms.app.health import public_venue
        from oms.app.statements import held_tickers
        from oms.reconciler.books import read_quotes

        ledger = self._open(create=False, writable=True)
        tickers = held_tickers(ledger)
        return read_quotes(ledger, public_venue(self.config), tickers, self._now_us) if tickers else 0

    def _order_id(self, name: str) -> str:
        """The exchange's id of an order of this ledger, or the name itself where some fill bears it as its order_id."""
        from oms.errors import UnknownOrder
        from oms.ledger.money import has_fills_of

        try:
            found = self.order(name)
        except UnknownOrder:
            if has_fills_of(self._open(create=False), name):
                return name
            raise
        return found.order_id or ""  # never at the exchange: no fill bears an empty order_id
