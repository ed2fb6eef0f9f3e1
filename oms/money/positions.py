"""One position at average cost, moved by trades and closed by settlement. PURE.

The method is average cost: what opens a position adds to its basis, what closes part of it takes out the same share of
the basis, and a fill that goes through zero is a close at its price followed by an opening at its price. Realized
profit is not added up but follows: it is the cash of all trades plus the basis that is still open, so that the two
always add up to the cash, to the last 10^-8 dollar.

Shares of a basis need rounding. It is done once for each run of closings, from what the run began with, never from an
already rounded figure: a fill split in two, or ten, changes nothing. What rounding leaves, under 10^-8 dollar, stays in
the basis and comes out with the last contract. Average prices are for showing; nothing is computed from them.
"""

from typing import NamedTuple

from oms.units import DOLLAR_E6

__all__ = ["Position", "Settled", "Trade", "TradeRow", "rounded"]


class Trade(NamedTuple):
    """One fill: contracts bought (+) or sold (-) of the YES book."""

    ticker: str
    subaccount: int
    signed_e2: int
    price_e6: int  # YES
    fee_e6: int  # as booked by the exchange
    ts_ms: int
    group: str | None = None  # whose own books it also belongs to: a tag, a batch
    trade_id: str = ""


# A trade as a plain tuple: making hundreds of thousands of them by name costs a third of keeping books over them.
TradeRow = tuple[str, int, int, int, int, int, str | None, str]


class Settled(NamedTuple):
    """One market that paid one subaccount; counts and revenue as the exchange tells them."""

    ticker: str
    subaccount: int
    ts_ms: int
    value_e6: int | None  # what one YES contract paid; None where the exchange did not say
    yes_count_e2: int
    no_count_e2: int
    revenue_e6: int
    fee_e6: int = 0  # the exchange's total for the market; no second fee

    @property
    def payout_e6(self) -> int | None:
        """What one YES contract paid: as told, else as it follows from the revenue of a one-sided position."""
        if self.value_e6 is not None:
            return self.value_e6
        if self.yes_count_e2 and not self.no_count_e2:
            return rounded(self.revenue_e6 * 100, self.yes_count_e2)
        if self.no_count_e2 and not self.yes_count_e2:
            return DOLLAR_E6 - rounded(self.revenue_e6 * 100, self.no_count_e2)
        return None


class Position:
    """Contracts of one market, what they cost, and what came of those that are gone."""

    __slots__ = ("_run_basis_e8", "_run_e2", "basis_e8", "fees_e6", "fills", "flow_e8", "position_e2", "volume_e2")

    def __init__(self) -> None:
        self.position_e2 = 0  # + YES, - NO
        self.flow_e8 = 0  # cash of all trades and settlements, NO being YES sold
        self.basis_e8 = 0  # of that, what the open contracts stand for; negative for NO
        self.fees_e6 = 0
        self.fills = 0
        self.volume_e2 = 0
        self._run_e2 = 0  # the position and its basis when the present run of closings began; 0: none has
        self._run_basis_e8 = 0

    @property
    def realized_e8(self) -> int:
        """Profit of what was closed, without fees."""
        return self.flow_e8 + self.basis_e8

    @property
    def cost_e8(self) -> int:
        """What the open contracts cost: the price of YES, or one minus it for NO."""
        return self.basis_e8 if self.position_e2 >= 0 else self.basis_e8 - self.position_e2 * DOLLAR_E6

    @property
    def cash_e8(self) -> int:
        """What trades and settlements did to the account's cash so far, collateral of NO taken out, without fees."""
        return self.flow_e8 if self.position_e2 >= 0 else self.flow_e8 + self.position_e2 * DOLLAR_E6

    @property
    def average_price_e6(self) -> int | None:
        """YES price that the open contracts were had at on average, rounded for showing; None without any."""
        return rounded(self.basis_e8, self.position_e2) if self.position_e2 else None

    def unrealized_e8(self, price_e6: int) -> int:
        """Profit of the open contracts at that YES price, without fees."""
        return self.position_e2 * price_e6 - self.basis_e8

    def trade(self, signed_e2: int, price_e6: int, fee_e6: int = 0) -> None:
        """Move by one fill."""
        self.fills += 1
        self.fees_e6 += fee_e6
        self.volume_e2 += signed_e2 if signed_e2 > 0 else -signed_e2
        self._move(signed_e2, price_e6)

    def settle(self, payout_e6: int) -> None:
        """Close what is open at what one YES contract paid."""
        self._move(-self.position_e2, payout_e6)

    def _move(self, signed_e2: int, price_e6: int) -> None:
        before = self.position_e2
        left = self.position_e2 = before + signed_e2
        self.flow_e8 -= signed_e2 * price_e6
        if before * signed_e2 >= 0:  # opens
            self.basis_e8 += signed_e2 * price_e6
            self._run_e2 = 0
        elif before * left > 0:  # closes a part
            if not self._run_e2:
                self._run_e2, self._run_basis_e8 = before, self.basis_e8
            self.basis_e8 = rounded(self._run_basis_e8 * left, self._run_e2)
        else:  # closes all, and opens the other side with the rest
            self.basis_e8 = left * price_e6
            self._run_e2 = 0


def rounded(numerator: int, denominator: int) -> int:
    """The quotient to the nearest integer, a half to the even one: alike for both signs."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return whole + 1 if twice > denominator or (twice == denominator and whole & 1) else whole
