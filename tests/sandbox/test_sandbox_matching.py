"""Matching, self-trade prevention, and what fills do to orders, positions and money: exact to the last digit."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.sandbox.amounts import average_e4, fee_e6
from tests.sandbox.stepping import SPORTS, TICKER, Steps

IOC = {"time_in_force": "immediate_or_cancel"}


@pytest.fixture
def steps() -> Steps:
    return Steps()


def balance(steps: Steps, **query: Any) -> Fraction:
    # The balance has a bucket of its own, which the unlimited tier leaves open.
    return Fraction(steps.get("/portfolio/balance", **query)["balance_dollars"])


def position(steps: Steps, ticker: str = TICKER) -> dict[str, Any]:
    (held,) = steps.get("/portfolio/positions", ticker=ticker)["market_positions"]
    return dict(held)


@pytest.mark.parametrize(("price", "fee"), [("0.52", 17_500), ("0.99", 700), ("0.50", 17_500), ("0.01", 700)])
def test_the_taker_fee_is_the_recorded_one(price: str, fee: int) -> None:
    assert fee_e6(100, int(Fraction(price) * 10_000), 700) == fee


@given(count=st.integers(1, 10**9), price=st.integers(1, 9_999), rate=st.sampled_from([175, 700]))
def test_the_fee_is_the_exact_formula_rounded_up_to_a_hundredth_of_a_cent(count: int, price: int, rate: int) -> None:
    exact = Fraction(rate, 10_000) * Fraction(count, 100) * Fraction(price, 10_000) * (1 - Fraction(price, 10_000))
    fee = Fraction(fee_e6(count, price, rate), 10**6)
    assert exact <= fee < exact + Fraction(1, 10_000)


@given(total=st.integers(0, 10**12), count=st.integers(1, 10**8))
def test_an_average_is_the_nearest_hundredth_of_a_cent(total: int, count: int) -> None:
    exact = Fraction(total, 10**6) / Fraction(count, 100)
    assert abs(Fraction(average_e4(total, count), 10_000) - exact) <= Fraction(1, 20_000)


def test_a_crossing_order_takes_the_best_price_first_and_rests_with_what_is_left(steps: Steps) -> None:
    book = steps.get(f"/markets/{TICKER}/orderbook")["orderbook_fp"]
    best_price, best_size = 1 - Fraction(book["no_dollars"][-1][0]), Fraction(book["no_dollars"][-1][1])
    next_price = 1 - Fraction(book["no_dollars"][-2][0])
    wanted = best_size + 1
    answer = steps.create(count=f"{float(wanted):.2f}", price=f"{float(best_price):.4f}")
    assert Fraction(answer.json["fill_count"]) == best_size
    assert answer.json["remaining_count"] == "1.00"
    assert Fraction(answer.json["average_fill_price"]) == best_price
    assert Fraction(steps.best()[0]) == best_price
    assert Fraction(steps.best()[1]) == next_price


def test_first_come_is_first_served_at_one_price(steps: Steps) -> None:
    steps.create(client_order_id="first", price="0.0200", count="2.00")
    steps.create(client_order_id="second", price="0.0200", count="2.00")
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "3.00"})
    assert {row["client_order_id"]: row["fill_count_fp"] for row in steps.listed()} == {
        "first": "2.00",
        "second": "1.00",
    }


def test_strangers_quotes_have_fractional_sizes_so_fills_are_fractional(steps: Steps) -> None:
    steps.create(count="5000.00", price="0.9900", **IOC)
    sizes = [fill["count_fp"] for fill in steps.get("/portfolio/fills")["fills"]]
    assert any(not size.endswith(".00") for size in sizes)


def test_immediate_or_cancel_without_a_match_is_a_201_with_two_zeros(steps: Steps) -> None:
    answer = steps.create(client_order_id="one", **IOC)
    assert (answer.status, answer.json["fill_count"], answer.json["remaining_count"]) == (201, "0.00", "0.00")
    assert steps.listed()[0]["status"] == "canceled"


def test_fill_or_kill_fills_whole(steps: Steps) -> None:
    answer = steps.create(price="0.9900", count="3.00", time_in_force="fill_or_kill")
    assert (answer.json["fill_count"], answer.json["remaining_count"]) == ("3.00", "0.00")
    assert steps.listed()[0]["status"] == "executed"


def test_taker_at_cross_stops_at_the_own_order_and_leaves_it_resting(steps: Steps) -> None:
    steps.create(client_order_id="own", side="ask", price="0.9900", post_only=True)
    steps.control(balance={"dollars": "900000.00"})
    answer = steps.create(client_order_id="in", price="0.9900", count="5000.00")
    assert answer.json["remaining_count"] == "0.00"
    assert Fraction(answer.json["fill_count"]) > 0
    assert {row["client_order_id"]: row["status"] for row in steps.listed()} == {"own": "resting", "in": "canceled"}


def test_maker_prevention_cancels_the_own_resting_order_and_goes_on(steps: Steps) -> None:
    steps.create(client_order_id="own", side="ask", price="0.9900", post_only=True)
    answer = steps.create(client_order_id="in", price="0.9900", count="5000.00", self_trade_prevention_type="maker")
    assert Fraction(answer.json["remaining_count"]) > 0
    assert {row["client_order_id"]: row["status"] for row in steps.listed()} == {"own": "canceled", "in": "resting"}


def test_fill_or_kill_that_meets_itself_acts_like_immediate_or_cancel(steps: Steps) -> None:
    steps.create(side="ask", price="0.9900", post_only=True)
    answer = steps.create(price="0.9900", count="5000.00", time_in_force="fill_or_kill")
    assert answer.status == 201
    assert answer.json["remaining_count"] == "0.00"


def test_reduce_only_is_capped_at_the_position(steps: Steps) -> None:
    nothing = steps.create(side="ask", price="0.0100", count="5.00", reduce_only=True, **IOC)
    assert nothing.json["fill_count"] == "0.00"
    steps.create(price="0.9900", count="3.00", **IOC)
    capped = steps.create(side="ask", price="0.0100", count="5.00", reduce_only=True, **IOC)
    assert (capped.json["fill_count"], capped.json["remaining_count"]) == ("3.00", "0.00")
    assert steps.listed()[0]["status"] == "canceled"
    assert position(steps)["position_fp"] == "0.00"


# ---- money


def test_a_resting_bid_reserves_its_price_and_a_cancel_gives_it_back(steps: Steps) -> None:
    before = balance(steps)
    order_id = steps.create(price="0.2000", count="10.50").json["order_id"]
    assert before - balance(steps) == Fraction("2.10")
    steps.cancel(order_id)
    assert balance(steps) == before


def test_a_resting_ask_reserves_one_minus_its_price(steps: Steps) -> None:
    before = balance(steps)
    steps.create(side="ask", price="0.9000", count="10.00")
    assert before - balance(steps) == 1


def test_a_fill_costs_price_and_fee(steps: Steps) -> None:
    before = balance(steps)
    answer = steps.create(price="0.9900", count="10.00", **IOC).json
    (fill,) = steps.get("/portfolio/fills")["fills"]
    paid = before - balance(steps)
    assert paid == Fraction(fill["yes_price_dollars"]) * 10 + Fraction(fill["fee_cost"])
    assert Fraction(answer["average_fill_price"]) == Fraction(fill["yes_price_dollars"])
    assert abs(Fraction(answer["average_fee_paid"]) - Fraction(fill["fee_cost"]) / 10) <= Fraction(1, 20_000)
    held = position(steps)
    assert held["position_fp"] == "10.00"
    assert Fraction(held["market_exposure_dollars"]) + Fraction(held["fees_paid_dollars"]) == paid


def test_closing_a_position_pays_out_and_books_the_profit(steps: Steps) -> None:
    before = balance(steps)
    steps.create(price="0.9900", count="10.00", **IOC)
    steps.create(side="ask", price="0.0100", count="10.00", **IOC)
    held = position(steps)
    assert (held["position_fp"], held["market_exposure_dollars"]) == ("0.00", "0.000000")
    gained = Fraction(held["realized_pnl_dollars"]) - Fraction(held["fees_paid_dollars"])
    assert balance(steps) - before == gained
    assert gained < 0


def test_selling_more_than_is_held_opens_the_other_side(steps: Steps) -> None:
    steps.create(price="0.9900", count="4.00", **IOC)
    steps.create(side="ask", price="0.0100", count="10.00", **IOC)
    assert position(steps)["position_fp"] == "-6.00"
    assert {fill["outcome_side"] for fill in steps.get("/portfolio/fills")["fills"]} == {"yes", "no"}


def test_a_resting_order_that_closes_a_position_reserves_nothing(steps: Steps) -> None:
    steps.create(price="0.9900", count="4.00", **IOC)
    before = balance(steps)
    steps.create(side="ask", price="0.9900", count="4.00")
    assert balance(steps) == before
    steps.create(side="ask", price="0.9900", count="4.00")
    assert before - balance(steps) == Fraction("0.04")


def test_a_filled_maker_is_charged_where_the_series_charges_makers(steps: Steps) -> None:
    for ticker, price, fee in ((TICKER, "0.0200", "0.000000"), (SPORTS, "0.0200", "0.003500")):
        steps.create(ticker=ticker, client_order_id=ticker, price=price, count="10.00")
        steps.control(trade={"ticker": ticker, "side": "ask", "price": price, "count": "10.00"})
        (fill,) = steps.get("/portfolio/fills", ticker=ticker)["fills"]
        assert (fill["is_taker"], fill["fee_cost"]) == (False, fee)
        (order,) = steps.listed(ticker=ticker)
        assert (order["status"], order["maker_fees_dollars"], order["maker_fill_cost_dollars"]) == (
            "executed",
            fee,
            "0.200000",
        )


def test_insufficient_money_counts_what_other_orders_reserve(steps: Steps) -> None:
    steps.control(balance={"dollars": "1.00"})
    assert steps.create(price="0.1000", count="9.00").status == 201
    assert steps.create(price="0.1000", count="2.00").code == "insufficient_balance"
    assert steps.create(price="0.1000", count="1.00").status == 201


def test_subaccounts_and_shards_keep_their_own_money(steps: Steps) -> None:
    steps.create(price="0.1000", count="10.00", subaccount=1)
    steps.create(ticker=SPORTS, price="0.1000", count="20.00")
    assert balance(steps, exchange_index=0) == 1_000_000
    assert Fraction(9_999) == balance(steps, subaccount=1)
    # The makers' fee of the sports series is held back with the price.
    assert balance(steps, exchange_index=1) == 100_000 - 2 - Fraction("0.0315")


def test_a_settled_market_pays_a_dollar_for_each_winning_contract(steps: Steps) -> None:
    steps.create(price="0.9900", count="10.00", **IOC)
    steps.create(client_order_id="resting")
    before = balance(steps)
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    (settlement,) = steps.get("/portfolio/settlements")["settlements"]
    assert (settlement["yes_count_fp"], settlement["market_result"], settlement["revenue"]) == ("10.00", "yes", 1000)
    assert balance(steps) - before == 10 + Fraction("0.01")
    assert steps.listed()[0]["status"] == "canceled"
    assert steps.get("/portfolio/positions")["market_positions"] == []
    assert (
        steps.get("/portfolio/positions", settlement_status="settled")["market_positions"][0]["position_fp"] == "0.00"
    )


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["bid", "ask"]),
        st.integers(1, 99),
        st.integers(1, 90_000),
        st.sampled_from(["good_till_canceled", "immediate_or_cancel", "fill_or_kill", "cancel", "outside"]),
        st.sampled_from(["taker_at_cross", "maker"]),
    ),
    max_size=12,
)


def act(steps: Steps, actions: list[tuple[str, int, int, str, str]]) -> None:
    for number, (side, cents, count, kind, prevention) in enumerate(actions):
        price, size = f"0.{cents:02d}", f"{count // 100}.{count % 100:02d}"
        steps.wait(1)
        if kind == "outside":
            steps.control(trade={"ticker": TICKER, "side": side, "price": price, "count": size})
        elif kind == "cancel":
            resting = steps.listed(status="resting")
            if resting:
                steps.cancel(resting[count % len(resting)]["order_id"])
        else:
            steps.create(
                client_order_id=f"n{number}",
                side=side,
                price=price,
                count=size,
                time_in_force=kind,
                self_trade_prevention_type=prevention,
            )


def money_of(steps: Steps) -> int:
    return steps.exchange.state.accounts[steps.exchange.state.user_id].purse(0, 0).cash_e6


@settings(max_examples=60)
@given(actions=ACTIONS)
def test_money_and_contracts_are_conserved_and_the_book_adds_up(actions: list[tuple[str, int, int, str, str]]) -> None:
    steps = Steps()
    act(steps, actions)
    account = steps.exchange.state.accounts[steps.exchange.state.user_id]
    purse = account.purse(0, 0)
    held = account.holdings[0, TICKER].now if account.holdings else None
    if held is not None:
        signed = sum(fill.count_e2 if fill.order.ticket.side == "bid" else -fill.count_e2 for fill in account.fills)
        assert held.position_e2 == signed
        assert money_of(steps) == 10**12 + held.realized_e6 - held.exposure_e6 - held.fees_e6
    for order in account.orders:
        fills = [fill for fill in account.fills if fill.order is order]
        assert order.now.fill_e2 == sum(fill.count_e2 for fill in fills)
        fees = order.now.taker_fees_e6 + order.now.maker_fees_e6
        assert fees == sum(fill.fee_e6 for fill in fills)
        assert [version.fill_e2 for version in order.versions] == sorted(version.fill_e2 for version in order.versions)
    assert list(account.resting.values()) == [order for order in account.orders if order.now.status == "resting"]
    assert purse.reserved_e6 == sum(order.now.reserved_e6 for order in account.orders)
    for half in (steps.exchange.state.books[TICKER].bids, steps.exchange.state.books[TICKER].asks):
        for price, level in half.levels.items():
            assert level.total_e2 == sum(order.now.remaining_e2 for order in level.orders.values()) > 0
            assert all(order.now.price_e4 == price for order in level.orders.values())
    bid, ask = steps.best()
    assert Fraction(bid) < Fraction(ask)


@settings(max_examples=15)
@given(actions=ACTIONS)
def test_a_restart_changes_nothing_that_can_be_seen(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int, str, str]]
) -> None:
    path: Path = tmp_path_factory.mktemp("sandbox") / "exchange.sqlite3"
    steps = Steps(path)
    act(steps, actions)
    paths = ("/portfolio/orders", "/portfolio/fills", "/portfolio/positions", "/portfolio/balance", "/markets/trades")
    book = f"/markets/{TICKER}/orderbook"
    before = [steps.get(path) for path in (*paths, book, "/markets")]
    steps.reopen()
    assert [steps.get(path) for path in (*paths, book, "/markets")] == before
    queues = {order.seq: list(level.orders) for order, level in _levels(steps)}
    assert all(seqs == sorted(seqs) for seqs in queues.values())
    act(steps, actions[:3])


def _levels(steps: Steps) -> list[Any]:
    book = steps.exchange.state.books[TICKER]
    return [
        (next(iter(level.orders.values())), level) for half in (book.bids, book.asks) for level in half.levels.values()
    ]
