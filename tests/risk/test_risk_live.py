"""What is live and what it can cost: exact integers, the larger of two readings, sums that always add up."""

from itertools import chain, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from oms.lifecycle.states import Side
from oms.risk.live import Book, Held, Live, LiveOrder, event_of, risk_e6

CENT = 10_000
DOLLAR = 1_000_000
E8 = 100  # contracts x 10^2 times dollars x 10^6 of one contract at one dollar is 10^8
BID, ASK = Side.BID, Side.ASK

sides = st.sampled_from(Side)
prices = st.integers(1, 99).map(lambda cents: cents * CENT)
counts = st.integers(1, 5_000)
orders = st.builds(
    LiveOrder,
    ticker=st.sampled_from(["EV-A", "EV-B", "OTHER-A", "LONE"]),
    side=sides,
    price_e6=prices,
    count_e2=counts,
    subaccount=st.integers(0, 1),
)
trades = st.tuples(sides, counts, prices)


def book(held: Held = Held(), *levels: tuple[Side, int, int]) -> Book:  # noqa: B008 - frozen
    made = Book()
    made.held = held
    for side, cents, contracts in levels:
        made.add(side, cents * CENT, contracts * 100)
    return made


@pytest.mark.parametrize(
    ("held", "levels", "dollars"),
    [
        ((0, 0), [], "0"),
        ((0, 0), [(BID, 40, 10)], "4.0"),
        ((0, 0), [(ASK, 40, 10)], "6.0"),
        ((0, 0), [(BID, 40, 10), (ASK, 60, 10)], "8.0"),  # either may fill alone
        ((10, 7), [], "7.0"),
        ((10, 7), [(ASK, 60, 10)], "7.0"),  # closes
        ((10, 7), [(ASK, 60, 15)], "9.0"),
        ((10, 7), [(ASK, 60, 10), (ASK, 90, 10)], "11.0"),  # the least risky is the free one
        ((10, 7), [(BID, 60, 10)], "13.0"),
        ((-10, 3), [(BID, 60, 10)], "3.0"),
        ((-10, 3), [(BID, 60, 12), (BID, 20, 10)], "10.2"),
        ((-10, 3), [(ASK, 60, 10)], "7.0"),
    ],
)
def test_exposure_by_table(held: tuple[int, int], levels: list[tuple[Side, int, int]], dollars: str) -> None:
    position, cost = held
    made = book(Held(position * 100, cost * DOLLAR * E8), *levels)
    assert made.exposure_e8 * 10 == int(float(dollars) * 10) * DOLLAR * E8


@pytest.mark.parametrize(
    ("before", "trade", "after", "realized"),
    [
        ((0, 0), (BID, 10, 40), (10, 400), 0),
        ((10, 400), (BID, 10, 60), (20, 1000), 0),
        ((20, 1000), (ASK, 10, 70), (10, 500), 200),
        ((10, 500), (ASK, 30, 40), (-20, 1200), -100),
        ((-20, 1200), (BID, 20, 30), (0, 0), 200),
        ((-3, 100), (BID, 1, 50), (-2, 67), 17),
    ],
)
def test_a_trade_opens_or_closes_and_realizes_the_difference(
    before: tuple[int, int], trade: tuple[Side, int, int], after: tuple[int, int], realized: int
) -> None:
    side, contracts, cents = trade
    unit = CENT * 100  # one contract at one cent, dollars x 10^8
    then, made = Held(before[0] * 100, before[1] * unit).filled(side, contracts * 100, cents * CENT)
    assert then.position_e2 == after[0] * 100
    assert abs(then.cost_e8 - after[1] * unit) < unit
    assert abs(made - realized * unit) < unit


@given(st.lists(trades, max_size=20))
def test_money_is_neither_made_nor_lost_in_the_counting(made: list[tuple[Side, int, int]]) -> None:
    held, realized_e8, paid_e8, bought, sold = Held(), 0, 0, 0, 0
    for side, count_e2, price_e6 in made:
        held, gain_e8 = held.filled(side, count_e2, price_e6)
        realized_e8 += gain_e8
        paid_e8 += count_e2 * risk_e6(side, price_e6)
        bought, sold = bought + (side is BID) * count_e2, sold + (side is ASK) * count_e2
        assert held.cost_e8 >= 0
    pairs_e2 = min(bought, sold)
    assert held.position_e2 == bought - sold
    # What was paid is what is open and what the pairs, at a dollar each, did not bring back.
    assert paid_e8 == held.cost_e8 + pairs_e2 * DOLLAR - realized_e8
    assert (held.position_e2 == 0) <= (held.cost_e8 == 0)


@given(st.lists(orders, max_size=12), st.lists(trades, max_size=6), orders)
def test_adding_an_order_never_lowers_an_exposure(
    there: list[LiveOrder], made: list[tuple[Side, int, int]], new: LiveOrder
) -> None:
    live = Live()
    for side, count_e2, price_e6 in made:
        live.fill(new.ticker, new.subaccount, side, count_e2, price_e6)
    for each in there:
        live.add(each)
    before = (live.market_e8(new.ticker), live.event_e8(live.event(new.ticker)), live.total_e8, live.open_orders)
    foretold = live.added_e8(new)
    live.add(new)
    after = (live.market_e8(new.ticker), live.event_e8(live.event(new.ticker)), live.total_e8, live.open_orders)
    assert foretold >= 0
    assert [b - a for a, b in zip(before, after, strict=True)] == [foretold, foretold, foretold, 1]
    # It may take the free place of a riskier one that would close, and add what that one then risks.
    beside = [x for x in there if (x.ticker, x.side, x.subaccount) == (new.ticker, new.side, new.subaccount)]
    assert foretold <= new.count_e2 * max(risk_e6(x.side, x.price_e6) for x in [new, *beside])
    live.remove(new)
    assert (live.market_e8(new.ticker), live.total_e8, live.open_orders) == (before[0], before[2], before[3])


@given(st.lists(orders, max_size=10))
def test_the_sums_are_those_of_the_markets(there: list[LiveOrder]) -> None:
    live = Live({"LONE": "EV"})
    for each in there:
        live.add(each)
    assert live.total_e8 == sum(live.market_e8(ticker) for ticker in live.tickers)
    assert live.event_e8("EV") == sum(live.market_e8(ticker) for ticker in ("EV-A", "EV-B", "LONE"))
    live.learn_event("EV-A", "OTHER")
    assert live.event_e8("EV") == live.market_e8("EV-B") + live.market_e8("LONE")
    assert live.event_e8("OTHER") == live.market_e8("EV-A") + live.market_e8("OTHER-A")


@given(orders, st.integers(1, 5_000))
def test_a_fill_that_opens_leaves_the_exposure_as_it_is(order: LiveOrder, traded_e2: int) -> None:
    traded_e2 = min(traded_e2, order.count_e2)
    live = Live()
    live.add(order)
    before_e8 = live.total_e8
    live.remove(order)
    live.fill(order.ticker, order.subaccount, order.side, traded_e2, order.price_e6)
    if order.count_e2 > traded_e2:
        live.add(replace(order, count_e2=order.count_e2 - traded_e2))
    assert live.total_e8 == before_e8
    assert live.realized_e8 == 0


@given(
    st.integers(-3, 3),
    st.lists(st.tuples(sides, st.integers(1, 9), st.integers(1, 3)), min_size=1, max_size=4),
)
def test_no_way_of_filling_loses_more_than_the_exposure(position: int, levels: list[tuple[Side, int, int]]) -> None:
    """Every subset of the orders in every order of filling, and both results of the market."""
    cost_e8 = abs(position) * 100 * 5 * CENT * 10
    held = Held(position * 100, cost_e8)
    made = book(held, *((side, tens * 10, contracts) for side, tens, contracts in levels))
    worst_e8 = 0
    for filling in chain.from_iterable(permutations(levels, n) for n in range(len(levels) + 1)):
        now, realized_e8 = held, 0
        for side, tens, contracts in filling:
            now, gain_e8 = now.filled(side, contracts * 100, tens * 10 * CENT)
            realized_e8 += gain_e8
        worst_e8 = max(worst_e8, now.cost_e8 - realized_e8)
    assert worst_e8 <= made.exposure_e8


@given(
    st.integers(-3_000, 3_000),
    st.lists(st.tuples(sides, st.integers(1, 2_000), prices), max_size=4),
    st.tuples(sides, st.integers(1, 2_000), prices),
    st.data(),
)
def test_what_only_closes_opens_nothing_whatever_trades_before_it(
    position_e2: int, there: list[tuple[Side, int, int]], asked: tuple[Side, int, int], data: st.DataObject
) -> None:
    live = Live()
    live.hold("T-1", 0, Held(position_e2, abs(position_e2) * DOLLAR))
    for side, count_e2, price_e6 in there:
        live.add(LiveOrder("T-1", side, price_e6, count_e2))
    side, count_e2, price_e6 = asked
    if not live.only_closes(LiveOrder("T-1", side, price_e6, count_e2)):
        direction = 1 if side is Side.BID else -1
        ahead_e2 = sum(count for other, count, _ in there if other is side)
        assert abs(position_e2 + direction * (ahead_e2 + count_e2)) > abs(position_e2) - (ahead_e2 + count_e2)
        return
    held = Held(position_e2, abs(position_e2) * DOLLAR)
    for other, other_e2, other_e6 in data.draw(st.permutations(there)):  # all or a part of each trades first
        held, _ = held.filled(other, data.draw(st.integers(0, other_e2)), other_e6)
    after, _ = held.filled(side, count_e2, price_e6)
    assert abs(after.position_e2) == abs(held.position_e2) - count_e2


def test_taking_out_what_was_not_put_in_is_a_bug() -> None:
    live = Live()
    with pytest.raises(AssertionError, match="more was taken out"):
        live.remove(LiveOrder("A", BID, CENT, 100))


def test_subaccounts_do_not_net_and_a_position_can_be_replaced() -> None:
    live = Live()
    live.hold("A", 1, Held(1000, 4 * DOLLAR * E8))
    live.add(LiveOrder("A", ASK, 40 * CENT, 1000, 0))
    assert live.market_e8("A") == 10 * DOLLAR * E8
    live.hold("A", 1, Held())
    assert live.market_e8("A") == 6 * DOLLAR * E8
    assert live.held("B", 0) == Held()


@pytest.mark.parametrize(("ticker", "event"), [("KX-26-T1", "KX-26"), ("LONE", "LONE"), ("-X", "-X")])
def test_an_event_is_named_by_all_but_the_last_part_of_a_ticker(ticker: str, event: str) -> None:
    assert event_of(ticker) == event
