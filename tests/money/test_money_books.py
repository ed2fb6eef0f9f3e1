"""Books over many markets: sums, orders, groups, days, settlements and marks."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.money.books import DAY_MS, Market, keep, unvalued
from oms.money.marks import Mark, Quote, mark
from oms.money.positions import Trade
from tests.money.flows import TICKERS, settled, trades

QUOTES = {
    "A": Quote(400_000, 450_000, 420_000, None, 7),
    "B": Quote(0, 1_000_000, 350_000, None, 8),
    "C": Quote(settlement_e6=1_000_000, read_at_us=9),
}
# Settled after all trades: the generated ones end before.
LATE_MS = 10**13


def trade(ticker: str, signed_e2: int, price_e6: int, ts_ms: int = 0, group: str | None = None, fee: int = 0) -> Trade:
    return Trade(ticker, 0, signed_e2, price_e6, fee, ts_ms, group)


@given(trades())
def test_markets_sum_to_the_total_and_fills_to_the_position(flow: list[Trade]) -> None:
    books = keep(flow, daily=True)
    marks = books.marks(QUOTES)
    total, lines = books.total(marks), books.by_market(marks).values()
    for name in ("fills", "volume_e2", "fees_e6", "realized_e8", "position_e2"):
        assert getattr(total, name) == sum(getattr(line, name) for line in lines)
    for market, position in books.positions.items():
        mine = [t for t in flow if (t.ticker, t.subaccount) == market]
        assert position.position_e2 == sum(t.signed_e2 for t in mine)
        assert position.fees_e6 == sum(t.fee_e6 for t in mine)
    assert total.fills == len(flow)
    assert sum(day.realized_e8 for day in books.days.values()) == total.realized_e8
    assert sum(day.fees_e6 for day in books.days.values()) == total.fees_e6
    if not list(unvalued(books, marks)):
        assert total.total_e8 is not None
        assert total.total_e8 == sum(line.total_e8 or 0 for line in lines)


@given(trades(), st.randoms(use_true_random=False))
def test_the_order_of_independent_markets_does_not_matter(flow: list[Trade], random: Random) -> None:
    queues = [[t for t in flow if (t.ticker, t.subaccount) == m] for m in {(t.ticker, t.subaccount) for t in flow}]
    mixed: list[Trade] = []
    while any(queues):
        queue = random.choice([queue for queue in queues if queue])
        mixed.append(queue.pop(0)._replace(ts_ms=len(mixed)))
    one, other = keep(flow, grouped=True), keep(mixed, grouped=True)
    assert one.total(one.marks(QUOTES)) == other.total(other.marks(QUOTES))
    assert one.by_market(one.marks(QUOTES)) == other.by_market(other.marks(QUOTES))
    assert one.by_group(one.marks(QUOTES)) == other.by_group(other.marks(QUOTES))


@given(trades(), st.integers(0, 1_000_000))
def test_at_settlement_realized_and_unrealized_are_the_cash_flow(flow: list[Trade], value_e6: int) -> None:
    before = keep(flow)
    quotes = {ticker: Quote(settlement_e6=value_e6) for ticker in TICKERS}
    promised = before.total(before.marks(quotes))
    payments = [settled(ticker, of, LATE_MS, value_e6) for ticker in TICKERS for of in (0, 1)]
    after = keep(flow, payments, daily=True, grouped=True)
    total = after.total({})
    assert (total.position_e2, total.unrealized_e8) == (0, 0)
    assert total.total_e8 == promised.total_e8 == sum(p.cash_e8 - 100 * p.fees_e6 for p in after.positions.values())
    paid = sum(closing.payout_e8 or 0 for closing in after.closings)
    spent = sum(position.cash_e8 for position in before.positions.values())
    assert spent + paid == total.realized_e8, "what was paid out is what trades had left in the market, and its profit"
    assert sum(day.realized_e8 for day in after.days.values()) == total.realized_e8
    assert sum(line.realized_e8 for line in after.by_group({}).values()) == total.realized_e8


@given(trades())
def test_groups_have_positions_of_their_own_and_together_earn_what_the_account_earns(flow: list[Trade]) -> None:
    books = keep(flow, grouped=True)
    quotes = {ticker: Quote(300_000, 310_000, 305_000) for ticker in TICKERS}
    marks = books.marks(quotes)
    total, lines = books.total(marks), books.by_group(marks)
    assert sum(line.total_e8 or 0 for line in lines.values()) == total.total_e8
    assert sum(line.position_e2 for line in lines.values()) == total.position_e2
    for group, line in lines.items():
        alone = keep(t for t in flow if t.group == group)
        assert line == alone.total({market: marks[market] for market in alone.positions})


def test_groups_that_hold_against_each_other_each_have_their_profit() -> None:
    books = keep([trade("A", 1_000, 400_000, 0, "carry"), trade("A", -1_000, 600_000, 1, "maker")], grouped=True)
    marks = books.marks({"A": Quote(last_e6=700_000)})
    lines = books.by_group(marks)
    assert books.total(marks).realized_e8 == 1_000 * 200_000
    assert (lines["carry"].realized_e8, lines["carry"].unrealized_e8) == (0, 1_000 * 300_000)
    assert (lines["maker"].realized_e8, lines["maker"].unrealized_e8) == (0, -1_000 * 100_000)


def test_profit_belongs_to_the_day_that_realized_it() -> None:
    late = settled("A", 0, 2 * DAY_MS, 1_000_000)
    books = keep([trade("A", 300, 400_000, fee=70), trade("A", -100, 500_000, DAY_MS)], [late], daily=True)
    shown = {day: (line.fills, line.volume_e2, line.fees_e6, line.realized_e8) for day, line in books.days.items()}
    assert shown == {0: (1, 300, 70, 0), 1: (1, 100, 0, 100 * 100_000), 2: (0, 0, 0, 200 * 600_000)}
    assert {line.unrealized_e8 for line in books.days.values()} == {None}


def test_a_settlement_follows_the_trades_of_its_millisecond_and_comes_before_later_ones() -> None:
    books = keep([trade("A", 100, 400_000, 5), trade("A", 100, 400_000, 6)], [settled("A", 0, 5, 0)])
    assert books.positions[Market("A", 0)].position_e2 == 100
    assert [(closing.position_e2, closing.payout_e8, closing.realized_e8) for closing in books.closings] == [
        (100, 0, -100 * 400_000)
    ]


def test_a_settlement_of_unknown_value_or_of_nothing_closes_nothing() -> None:
    unknown = settled("A", 0, 9, 0)._replace(value_e6=None)
    books = keep([trade("A", 100, 400_000)], [unknown, settled("B", 0, 9, 0)])
    assert books.positions[Market("A", 0)].position_e2 == 100
    told = {c.settled.ticker: (c.position_e2, c.payout_e8, c.realized_e8) for c in books.closings}
    assert told == {"A": (100, None, 0), "B": (0, 0, 0)}


def test_trades_out_of_time_are_refused() -> None:
    with pytest.raises(ValueError, match="order of time"):
        keep([trade("A", 100, 400_000, 5), trade("B", 100, 400_000, 4)])


@pytest.mark.parametrize(
    ("position", "quote", "expected"),
    [
        (100, QUOTES["A"], Mark(400_000, "bid", 7)),
        (-100, QUOTES["A"], Mark(450_000, "ask", 7)),
        (0, QUOTES["A"], Mark(420_000, "last", 7)),
        (100, QUOTES["B"], Mark(350_000, "last", 8)),
        (-100, QUOTES["B"], Mark(350_000, "last", 8)),
        (-100, QUOTES["C"], Mark(1_000_000, "settlement", 9)),
        (0, Quote(100_000), Mark(100_000, "bid", 0)),
        (100, Quote(None, 500_000, 0), None),
        (100, None, None),
    ],
)
def test_a_position_is_marked_at_what_it_could_be_closed_at(
    position: int, quote: Quote | None, expected: Mark | None
) -> None:
    assert mark(position, quote) == expected


def test_a_market_without_a_price_leaves_the_total_unknown_and_is_named() -> None:
    books = keep([trade("A", 100, 400_000), trade("X", 100, 400_000)])
    marks = books.marks(QUOTES)
    assert books.total(marks).total_e8 is None
    assert books.by_market(marks)["A"].total_e8 == 0
    assert list(unvalued(books, marks)) == [Market("X", 0)]
