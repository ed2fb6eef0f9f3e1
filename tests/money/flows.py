"""Random trading for the tests of money: trades and settlements by Hypothesis, and the truth in plain fractions."""

from fractions import Fraction

from hypothesis import strategies as st

from oms.money.positions import Settled, Trade

TICKERS = ("A", "B", "C")
GROUPS = (None, "carry", "maker")

prices = st.integers(1, 9_999).map(lambda e4: e4 * 100)
counts = st.one_of(st.integers(1, 500), st.sampled_from([100, 200, 1_000])).flatmap(
    lambda count: st.sampled_from([count, -count])
)


def trades(tickers: tuple[str, ...] = TICKERS, most: int = 40) -> st.SearchStrategy[list[Trade]]:
    """Trades in the order of time."""
    one = st.tuples(
        st.sampled_from(tickers),
        st.integers(0, 1),
        counts,
        prices,
        st.integers(0, 50_000),
        st.integers(0, 90_000_000),
        st.sampled_from(GROUPS),
    )
    return st.lists(one, max_size=most).map(
        lambda rows: [
            Trade(*row[:5], ts_ms, row[6]) for row, ts_ms in zip(rows, _running(row[5] for row in rows), strict=True)
        ]
    )


def _running(gaps):  # type: ignore[no-untyped-def]
    at_ms = 0
    for gap in gaps:
        at_ms += gap
        yield at_ms


def settled(ticker: str, subaccount: int, ts_ms: int, value_e6: int) -> Settled:
    return Settled(ticker, subaccount, ts_ms, value_e6, 0, 0, 0)


class Plain:
    """Average cost by fractions, as a textbook has it: nothing is rounded, nothing is clever."""

    def __init__(self) -> None:
        self.count = 0
        self.average = Fraction(0)
        self.realized = Fraction(0)

    def trade(self, signed: int, price: int) -> None:
        if self.count * signed < 0:
            closing = min(abs(signed), abs(self.count)) * (1 if signed > 0 else -1)
            self.realized += closing * (self.average - price)
            self.count += closing
            signed -= closing
        if signed:
            self.average = (self.average * self.count + signed * price) / Fraction(self.count + signed)
            self.count += signed
