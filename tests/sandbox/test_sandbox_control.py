"""The control endpoint: what can be changed, what is refused, and that a refusal changes nothing."""

from typing import Any

import pytest

from oms.sandbox import control
from tests.sandbox.stepping import TICKER, Steps


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_settings_change_and_are_shown(steps: Steps) -> None:
    shown = steps.control(
        latency_ms=5, tier="prime", read_lag_ms=100, dedupe="open_only", skew_s=3, v1_compat=True, clock_offset_ms=-7
    )
    assert (shown["latency_ms"], shown["tier"], shown["read_lag_ms"], shown["dedupe"]) == (5, "prime", 100, "open_only")
    assert (shown["skew_ms"], shown["v1_compat"], shown["clock_offset_ms"]) == (3000, True, -7)
    assert steps.control()["latency_ms"] == 5


@pytest.mark.parametrize(
    "change",
    [
        {"latency": 5},
        {"latency_ms": -1},
        {"latency_ms": "5"},
        {"read_lag_ms": 600_001},
        {"clock_offset_ms": 10**15},
        {"historical_cutoff": -1},
        {"tier": "gold"},
        {"dedupe": "never"},
        {"pause": "lunch"},
        {"faults": [{"fault": "explode"}]},
        {"faults": {}},
        {"seed_faults": {"rate": 2}},
        {"market": {"ticker": "NOSUCH", "status": "open"}},
        {"market": {"ticker": TICKER, "status": "active"}},
        {"market": {"ticker": TICKER, "status": "settled", "result": "maybe"}},
        {"trade": {"ticker": TICKER, "side": "ask", "price": "0.015", "count": "1"}},
        {"trade": {"ticker": TICKER, "side": "yes", "price": "0.01", "count": "1"}},
        {"quote": {"ticker": TICKER, "side": "ask", "price": "0.01", "count": "0"}},
        {"quote": {"ticker": TICKER, "side": "ask", "price": "0.02", "count": "1"}},
        {"balance": {"dollars": "-1"}},
        {"add_key": {"private_pem": "nonsense"}},
    ],
)
def test_a_wrong_change_is_refused_and_nothing_of_it_is_made(steps: Steps, change: dict[str, Any]) -> None:
    before = steps.control()
    with pytest.raises(ValueError, match=r"\w"):
        steps.control(**{"skew_s": 99, **change})
    assert steps.control() == before
    with pytest.raises(ValueError, match=r"\w"):
        control.apply(steps.exchange, b"{", steps.now_us)


def test_an_outside_trade_passes_the_strangers_in_front(steps: Steps) -> None:
    steps.create(client_order_id="own", price="0.0300", count="5.00")
    before = steps.best()
    done = steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0100", "count": "2.00"})
    assert done["traded_orders"] == 1
    assert steps.best() == before
    (own,) = steps.listed()
    assert (own["fill_count_fp"], own["remaining_count_fp"], own["status"]) == ("2.00", "3.00", "resting")


def test_an_outside_trade_may_name_the_order_it_hits(steps: Steps) -> None:
    for name in ("a", "b"):
        steps.create(client_order_id=name, price="0.0300")
    wanted = {"ticker": TICKER, "side": "ask", "price": "0.0300", "count": "1.00", "client_order_id": "b"}
    steps.control(trade=wanted)
    assert {row["client_order_id"]: row["status"] for row in steps.listed()} == {"a": "resting", "b": "executed"}
    assert steps.control(trade=wanted)["traded_orders"] == 0


def test_an_outside_quote_can_be_taken(steps: Steps) -> None:
    middle = f"{(sum(int(price.replace('.', '')) for price in steps.best()) // 2) / 10_000:.4f}"
    steps.control(quote={"ticker": TICKER, "side": "ask", "price": middle, "count": "1.25"})
    answer = steps.create(price=middle, count="2.00")
    assert (answer.json["fill_count"], answer.json["remaining_count"]) == ("1.25", "0.75")
    assert answer.json["average_fill_price"] == middle


def test_a_paused_market_refuses_creates_and_a_closed_one_cancels_what_rests(steps: Steps) -> None:
    order_id = steps.create(client_order_id="one").json["order_id"]
    steps.control(market={"ticker": TICKER, "status": "paused"})
    assert steps.create().code == "trading_is_paused"
    assert steps.get("/exchange/status")["trading_active"] is True
    steps.control(market={"ticker": TICKER, "status": "open"})
    assert steps.create().status == 201
    steps.control(market={"ticker": TICKER, "status": "closed"})
    assert steps.create().code == "MARKET_ALREADY_CLOSED"
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["status"] == "canceled"
    assert steps.get(f"/markets/{TICKER}")["market"]["status"] == "closed"


def test_money_can_be_set(steps: Steps) -> None:
    steps.control(balance={"dollars": "12.34", "subaccount": 3, "exchange_index": 1})
    shown = steps.get("/portfolio/balance", subaccount=3)
    assert (shown["balance"], shown["balance_dollars"]) == (1234, "12.3400")
    assert shown["balance_breakdown"] == [{"exchange_index": 1, "balance": "12.3400"}]


def test_faults_are_replaced_and_counted_anew(steps: Steps) -> None:
    for _ in range(2):
        steps.control(faults=[{"match": {"operation": "CreateOrderV2"}, "fault": "gone"}])
        assert [steps.create().status for _ in range(2)] == [410, 201]
    assert steps.control(faults=[])["faults"] == []
