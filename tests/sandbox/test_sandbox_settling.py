"""How markets end: closed on command or by their clock, determined, settled yes, no or in between, and paid."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sandbox.stepping import SPORTS, START_US, TICKER, Steps

SECOND = START_US // 1_000_000
IOC = {"time_in_force": "immediate_or_cancel"}


@pytest.fixture
def steps() -> Steps:
    return Steps()


def market(steps: Steps, ticker: str = TICKER) -> dict[str, Any]:
    return dict(steps.get(f"/markets/{ticker}")["market"])


def free(steps: Steps, **query: Any) -> Fraction:
    return Fraction(steps.get("/portfolio/balance", **query)["balance_dollars"])


def settled(steps: Steps, **query: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = steps.get("/portfolio/settlements", **query)["settlements"]
    return rows


@pytest.mark.parametrize(
    ("side", "result", "value", "paid", "cents"),
    [
        ("bid", {"result": "yes"}, "1.0000", Fraction(10), 100),
        ("bid", {"result": "no"}, "0.0000", Fraction(0), 0),
        ("ask", {"result": "yes"}, "1.0000", Fraction(0), 100),
        ("ask", {"result": "no"}, "0.0000", Fraction(10), 0),
        ("bid", {"result": "scalar", "value": "0.3700"}, "0.3700", Fraction("3.70"), 37),
        ("ask", {"result": "scalar", "value": "0.3700"}, "0.3700", Fraction("6.30"), 37),
        ("bid", {"result": "scalar", "value": "0.0001"}, "0.0001", Fraction("0.001"), 0),
    ],
)
def test_each_result_pays_what_a_contract_is_worth(
    steps: Steps, side: str, result: dict[str, str], value: str, paid: Fraction, cents: int
) -> None:
    steps.create(side=side, price="0.9900" if side == "bid" else "0.0100", count="10.00", **IOC)
    (held,) = steps.get("/portfolio/positions")["market_positions"]
    cost, before = Fraction(held["market_exposure_dollars"]), free(steps)
    steps.control(market={"ticker": TICKER, "status": "settled", **result})
    assert free(steps) - before == paid
    (row,) = settled(steps)
    leg, other = ("yes", "no") if side == "bid" else ("no", "yes")
    assert row == {
        "ticker": TICKER,
        "event_ticker": "SBXRAIN-A",
        "exchange_index": 0,
        "market_result": result["result"],
        f"{leg}_count_fp": "10.00",
        f"{leg}_total_cost_dollars": f"{float(cost):.6f}",
        f"{other}_count_fp": "0.00",
        f"{other}_total_cost_dollars": "0.000000",
        "revenue": int(paid * 100),
        "value": cents,
        "fee_cost": held["fees_paid_dollars"],
        "settled_time": "2026-09-21T14:13:20.000000Z",
    }
    (after,) = steps.get("/portfolio/positions", settlement_status="settled")["market_positions"]
    assert Fraction(after["realized_pnl_dollars"]) == paid - cost
    shown = market(steps)
    assert (shown["status"], shown["result"], shown["settlement_value_dollars"]) == (
        "finalized",
        result["result"],
        value,
    )


def test_a_market_goes_from_open_to_closed_to_determined_to_finalized(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    steps.create(price="0.9900", count="10.00", **IOC)
    order_id = steps.create(client_order_id="rests").json["order_id"]
    before = free(steps)
    steps.control(market={"ticker": TICKER, "status": "closed"})
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["status"] == "canceled"
    assert free(steps) == before + Fraction("0.01")
    steps.wait(1_000)
    steps.control(market={"ticker": TICKER, "status": "determined", "result": "yes"})
    steps.reopen()
    shown = market(steps)
    assert (shown["status"], shown["result"], shown["settlement_value_dollars"]) == ("determined", "yes", None)
    assert [row["ticker"] for row in steps.get("/markets", status="closed")["markets"]] == [TICKER, "SBXRATE-B-T20"]
    assert settled(steps) == []
    assert len(steps.get("/portfolio/positions")["market_positions"]) == 1
    steps.control(market={"ticker": TICKER, "status": "settled"})
    assert free(steps) == before + 10 + Fraction("0.01")
    assert [row["market_result"] for row in settled(steps)] == ["yes"]
    steps.reopen()
    assert [row["market_result"] for row in settled(steps)] == ["yes"]
    assert market(steps)["settlement_value_dollars"] == "1.0000"


def test_a_result_stays_through_the_steps(steps: Steps) -> None:
    steps.create(side="ask", price="0.0100", count="10.00", **IOC)
    steps.control(market={"ticker": TICKER, "status": "determined", "result": "scalar", "value": "0.2500"})
    steps.control(market={"ticker": TICKER, "status": "settled"})
    assert [(row["market_result"], row["value"], row["revenue"]) for row in settled(steps)] == [("scalar", 25, 750)]


def test_a_settled_market_stays_settled_and_pays_once(steps: Steps) -> None:
    steps.create(price="0.9900", count="10.00", **IOC)
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    before = free(steps)
    with pytest.raises(ValueError, match="settled, and stays so"):
        steps.control(market={"ticker": TICKER, "status": "open"})
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    assert free(steps) == before
    assert len(settled(steps)) == 1


def test_a_market_closes_by_itself_at_its_instant(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    steps.create(client_order_id="rests")
    steps.control(market={"ticker": TICKER, "close_ts": SECOND + 60})
    assert market(steps)["close_time"] == "2026-09-21T14:14:20.000000Z"
    steps.reopen()
    steps.wait(59_999)
    assert steps.create().status == 201
    steps.wait(30_001)
    assert steps.create().code == "MARKET_ALREADY_CLOSED"
    assert {(row["status"], row["last_update_time"]) for row in steps.listed()} == {
        ("canceled", "2026-09-21T14:14:20.000000Z")
    }
    assert market(steps)["close_time"] == "2026-09-21T14:14:20.000000Z"
    assert steps.exchange.next_due_us() is None


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"status": "settled", "result": "scalar"},
        {"status": "settled", "result": "yes", "value": "0.5000"},
        {"status": "settled", "result": "scalar", "value": "1.0001"},
        {"status": "settled", "result": "scalar", "value": "x"},
        {"status": "finalized"},
        {"close_ts": SECOND},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(steps: Steps, change: dict[str, Any]) -> None:
    before = market(steps)
    with pytest.raises(ValueError, match=r"market|status"):
        steps.control(market={"ticker": TICKER, **change})
    assert market(steps) == before


def test_settlements_have_their_filters_and_pages(steps: Steps) -> None:
    for number, ticker in enumerate((TICKER, SPORTS, "SBXRAIN-A-T20")):
        steps.create(ticker=ticker, price="0.9900", count="1.00", subaccount=0, **IOC)
        steps.wait(10_000 * bool(number))
        steps.control(market={"ticker": ticker, "status": "settled", "result": "yes"})

    def tickers(**query: Any) -> list[str]:
        return [row["ticker"] for row in settled(steps, **query)]

    assert tickers() == ["SBXRAIN-A-T20", SPORTS, TICKER]
    assert tickers(ticker=SPORTS) == [SPORTS]
    assert tickers(event_ticker="SBXRAIN-A") == ["SBXRAIN-A-T20", TICKER]
    assert tickers(min_ts=SECOND + 1, max_ts=SECOND + 10) == [SPORTS]
    assert tickers(subaccount=1) == []
    page = steps.get("/portfolio/settlements", limit=2)
    assert tickers(cursor=page["cursor"]) == [TICKER]


def test_settlements_lag_with_the_positions_and_the_balance() -> None:
    steps = Steps(read_lag_ms=1_000)
    steps.create(price="0.9900", count="10.00", **IOC)
    steps.wait(5_000)
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
    before = free(steps)
    steps.wait(999)
    assert settled(steps) == []
    assert [row["position_fp"] for row in steps.get("/portfolio/positions")["market_positions"]] == ["10.00"]
    assert free(steps) == before
    steps.wait(1)
    assert len(settled(steps)) == 1
    assert steps.get("/portfolio/positions")["market_positions"] == []
    assert free(steps) == before + 10


def test_settled_positions_move_to_the_archive_by_whole_events_and_settlements_vanish(steps: Steps) -> None:
    steps.create(price="0.9900", count="1.00", **IOC)
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})

    def settled_tickers(path: str, **query: Any) -> list[str]:
        return [row["ticker"] for row in steps.get(path, **query)["market_positions"]]

    steps.control(historical_cutoff=SECOND + 5)
    assert settled_tickers("/portfolio/positions", settlement_status="settled") == [TICKER]
    assert settled_tickers("/historical/positions") == []
    assert settled(steps) == []
    for strike in (20, 30):
        steps.control(market={"ticker": f"SBXRAIN-A-T{strike}", "status": "settled", "result": "no"})
    assert settled_tickers("/portfolio/positions", settlement_status="all") == []
    assert settled_tickers("/historical/positions") == [TICKER]
    assert settled_tickers("/historical/positions", event_ticker="SBXRAIN-B") == []


TRADES = st.lists(st.tuples(st.sampled_from(["bid", "ask"]), st.integers(1, 20_000)), min_size=1, max_size=6)


@settings(max_examples=40)
@given(trades=TRADES, value=st.integers(0, 10_000))
def test_money_is_conserved_to_the_last_digit_through_any_settlement(trades: list[tuple[str, int]], value: int) -> None:
    steps = Steps()
    for side, count in trades:
        price = "0.9900" if side == "bid" else "0.0100"
        steps.create(side=side, price=price, count=f"{count // 100}.{count % 100:02d}", **IOC)
    steps.control(market={"ticker": TICKER, "status": "settled", "result": "scalar", "value": f"{value / 10_000:.4f}"})
    account = steps.exchange.state.accounts[steps.exchange.state.user_id]
    spent = 0
    for fill in account.fills:
        signed = fill.count_e2 if fill.order.ticket.side == "bid" else -fill.count_e2
        spent += signed * (fill.price_e4 - value) + fill.fee_e6
    assert account.purse(0, 0).cash_e6 == 10**12 - spent
    assert account.purse(0, 0).reserved_e6 == 0
