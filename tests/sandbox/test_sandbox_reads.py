"""Reads: filters, pages, cursors, lag, the historical split, markets and the state of the exchange."""

from typing import Any

import pytest

from oms.sandbox.listing import read_cursor, write_cursor
from tests.sandbox.stepping import SPORTS, START_US, TICKER, Steps

SECOND = START_US // 1_000_000


@pytest.fixture
def steps() -> Steps:
    return Steps()


def ids(steps: Steps, **query: Any) -> list[str]:
    return [row["client_order_id"] for row in steps.listed(**query)]


def test_an_order_reads_with_every_recorded_field_and_without_what_is_not_echoed(steps: Steps) -> None:
    order_id = steps.create(client_order_id="one", side="ask", price="0.9900").json["order_id"]
    order = steps.get(f"/portfolio/orders/{order_id}")["order"]
    assert order == steps.listed()[0]
    assert order == {
        **order,
        "order_id": order_id,
        "client_order_id": "one",
        "ticker": TICKER,
        "book_side": "ask",
        "outcome_side": "no",
        "side": "yes",
        "action": "sell",
        "type": "limit",
        "status": "resting",
        "yes_price_dollars": "0.9900",
        "no_price_dollars": "0.0100",
        "initial_count_fp": "1.00",
        "fill_count_fp": "0.00",
        "remaining_count_fp": "1.00",
        "taker_fees_dollars": "0.000000",
        "created_time": "2026-09-21T14:13:20.000000Z",
        "subaccount_number": 0,
        "exchange_index": 0,
        "user_id": steps.exchange.state.user_id,
    }
    assert not {"time_in_force", "post_only", "reduce_only"} & order.keys()


def test_orders_are_listed_newest_first(steps: Steps) -> None:
    for name in ("a", "b", "c"):
        steps.create(client_order_id=name)
    assert ids(steps) == ["c", "b", "a"]


def test_every_filter_of_the_order_list(steps: Steps) -> None:
    steps.create(client_order_id="rain")
    steps.wait(10_000)
    steps.create(client_order_id="sports", ticker=SPORTS)
    steps.create(client_order_id="sub", subaccount=1)
    steps.create(client_order_id="gone", time_in_force="immediate_or_cancel")
    steps.create(client_order_id="done", price="0.9900", time_in_force="immediate_or_cancel")
    assert ids(steps, ticker=SPORTS) == ["sports"]
    assert ids(steps, event_ticker="SBXGAME-A,SBXCOIN-A") == ["sports"]
    assert ids(steps, status="resting") == ["sub", "sports", "rain"]
    assert ids(steps, status="canceled") == ["gone"]
    assert ids(steps, status="executed") == ["done"]
    assert ids(steps, subaccount=0) == ["done", "gone", "sports", "rain"]
    assert ids(steps, subaccount=1) == ["sub"]
    assert ids(steps, exchange_index=1) == ["sports"]
    assert ids(steps, max_ts=SECOND + 9) == ["rain"]
    assert ids(steps, min_ts=SECOND + 10) == ["done", "gone", "sub", "sports"]
    assert ids(steps, min_ts=SECOND, max_ts=SECOND) == ["rain"]


def test_times_compare_the_creation_not_the_last_change(steps: Steps) -> None:
    order_id = steps.create(client_order_id="one").json["order_id"]
    steps.wait(60_000)
    steps.cancel(order_id)
    assert ids(steps, min_ts=SECOND + 1) == []
    assert ids(steps, max_ts=SECOND) == ["one"]


def test_pages_show_every_order_once_while_new_ones_arrive(steps: Steps) -> None:
    for number in range(7):
        steps.create(client_order_id=f"n{number}")
    seen, cursor = [], ""
    for page in range(4):
        answer = steps.get("/portfolio/orders", limit=2, cursor=cursor)
        seen += [row["client_order_id"] for row in answer["orders"]]
        cursor = answer["cursor"]
        assert {"+", "/", "="} <= set(cursor) or page == 3
        steps.create(client_order_id=f"late{page}")
    assert cursor == ""
    assert seen == [f"n{number}" for number in reversed(range(7))]


def test_pages_of_what_rests_skip_none_while_orders_leave_the_list(tmp_path: Any) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    order_ids = [steps.create(client_order_id=f"n{number}").json["order_id"] for number in range(8)]
    first = steps.get("/portfolio/orders", limit=3, status="resting")
    for number in (0, 3, 4, 6):
        steps.cancel(order_ids[number])
    steps.reopen()
    second = steps.get("/portfolio/orders", limit=3, status="resting", cursor=first["cursor"])
    shown = [row["client_order_id"] for page in (first, second) for row in page["orders"]]
    assert shown == ["n7", "n6", "n5", "n2", "n1"]
    assert second["cursor"] == ""


@pytest.mark.parametrize("knobs", [{}, {"read_lag_ms": 1_000}])
def test_what_rests_is_listed_as_of_the_instant_that_reads_show(knobs: dict[str, Any]) -> None:
    steps = Steps(**knobs)
    lag = knobs.get("read_lag_ms", 0)
    order_id = steps.create(client_order_id="one").json["order_id"]
    steps.wait(lag)
    assert ids(steps, status="resting") == ["one"]
    steps.cancel(order_id)
    if lag:
        steps.wait(lag - 1)
        assert ids(steps, status="resting") == ["one"]
        steps.wait(1)
    assert ids(steps, status="resting") == []


def test_a_stale_cancel_is_still_among_what_rests(steps: Steps) -> None:
    order_id = steps.create(client_order_id="one").json["order_id"]
    steps.control(faults=[{"match": {"operation": "CancelOrderV2"}, "fault": {"kind": "stale", "ms": 400}}])
    steps.cancel(order_id)
    steps.wait(399)
    assert ids(steps, status="resting") == ["one"]
    steps.wait(1)
    assert ids(steps, status="resting") == []


def test_a_page_that_ends_with_the_list_has_no_cursor(steps: Steps) -> None:
    for number in range(4):
        steps.create(client_order_id=f"n{number}")
    assert steps.get("/portfolio/orders", limit=4)["cursor"] == ""
    assert steps.get("/portfolio/orders", limit=2, status="canceled")["cursor"] == ""


def test_a_garbage_cursor_silently_gives_the_first_page(steps: Steps) -> None:
    for number in range(3):
        steps.create(client_order_id=f"n{number}")
    cursor = steps.get("/portfolio/orders", limit=1)["cursor"]
    assert ids(steps, limit=1, cursor=cursor) == ["n1"]
    for garbage in ("nonsense", cursor.replace("+", " "), "+/!!!", "+/YXQ6LTE="):
        assert ids(steps, limit=1, cursor=garbage) == ["n2"]


@pytest.mark.parametrize("place", [0, 1, 99, 10**9])
def test_a_cursor_names_its_place(place: int) -> None:
    assert read_cursor(write_cursor(place)) == place


@pytest.mark.parametrize(("limit", "tag"), [(0, "gte"), (-1, "gte"), (1001, "lte"), ("x", "number")])
def test_a_limit_out_of_range_is_refused_in_the_shape_of_query_checks(steps: Steps, limit: Any, tag: str) -> None:
    answer = steps.call("GET", "/portfolio/orders", limit=limit)
    assert answer.status == 400
    assert answer.json["msg"].startswith("Parameter validation failed for GetOrders: Key: 'GetOrdersParams.")
    assert f"'{tag}' tag" in answer.json["msg"]


def test_an_unknown_order_is_not_found(steps: Steps) -> None:
    assert steps.call("GET", "/portfolio/orders/nothing").status == 404
    stranger = next(iter(steps.exchange.state.by_order_id))
    assert steps.call("GET", f"/portfolio/orders/{stranger}").status == 404


def test_fills_have_their_filters_and_no_client_order_id(steps: Steps) -> None:
    ioc = {"time_in_force": "immediate_or_cancel", "price": "0.9900"}
    first = steps.create(client_order_id="one", **ioc).json["order_id"]
    steps.wait(5_000)
    steps.create(ticker=SPORTS, **ioc)
    fills = steps.get("/portfolio/fills")["fills"]
    assert [fill["ticker"] for fill in fills] == [SPORTS, TICKER]
    assert "client_order_id" not in fills[0]
    assert fills[0]["fill_id"] == fills[0]["trade_id"]
    assert [fill["order_id"] for fill in steps.get("/portfolio/fills", order_id=first)["fills"]] == [first]
    assert len(steps.get("/portfolio/fills", ticker=f"{SPORTS},{TICKER}")["fills"]) == 2
    assert len(steps.get("/portfolio/fills", min_ts=SECOND + 5)["fills"]) == 1
    assert len(steps.get("/portfolio/fills", max_ts=SECOND)["fills"]) == 1
    assert len(steps.get("/portfolio/fills", exchange_index=1)["fills"]) == 1
    trades = steps.get("/markets/trades")["trades"]
    assert [trade["trade_id"] for trade in trades] == [fill["fill_id"] for fill in fills]


def test_positions_have_their_filters(steps: Steps) -> None:
    ioc = {"time_in_force": "immediate_or_cancel", "price": "0.9900"}
    steps.create(**ioc)
    steps.create(ticker=SPORTS, **ioc)
    steps.create(subaccount=1, **ioc)

    def tickers(**query: Any) -> list[str]:
        return [row["ticker"] for row in steps.get("/portfolio/positions", **query)["market_positions"]]

    assert tickers() == [SPORTS, TICKER]
    assert tickers(ticker=TICKER) == [TICKER]
    assert tickers(event_ticker="SBXGAME-A") == [SPORTS]
    assert tickers(subaccount=1) == [TICKER]
    assert tickers(exchange_index=1) == [SPORTS]
    page = steps.get("/portfolio/positions", limit=1)
    assert [row["ticker"] for row in page["market_positions"]] == [SPORTS]
    assert tickers(limit=1, cursor=page["cursor"]) == [TICKER]
    steps.create(side="ask", price="0.0100", time_in_force="immediate_or_cancel")
    assert tickers(count_filter="position") == [SPORTS]
    assert tickers(count_filter="total_traded") == [SPORTS, TICKER]


def test_queue_positions_count_the_contracts_ahead(steps: Steps) -> None:
    first = steps.create(price="0.0200", count="3.00").json["order_id"]
    second = steps.create(price="0.0200").json["order_id"]
    book = steps.get(f"/markets/{TICKER}/orderbook")["orderbook_fp"]["yes_dollars"]
    better = sum(int(size.replace(".", "")) for price, size in book if price > "0.0200")

    def ahead(order_id: str) -> int:
        return int(steps.get(f"/portfolio/orders/{order_id}/queue_position")["queue_position_fp"].replace(".", ""))

    assert (ahead(first), ahead(second)) == (better, better + 300)
    rows = steps.get("/portfolio/orders/queue_positions", market_tickers=TICKER)["queue_positions"]
    assert [row["order_id"] for row in rows] == [first, second]
    assert steps.get("/portfolio/orders/queue_positions", market_tickers=SPORTS)["queue_positions"] == []


# ---- lag


def as_of(steps: Steps) -> str:
    return str(steps.get("/exchange/user_data_timestamp")["as_of_time"])


def test_a_lagging_read_shows_exactly_what_was_committed_by_then() -> None:
    steps = Steps(read_lag_ms=2_000)
    order_id = steps.create(client_order_id="one", count="3.00").json["order_id"]
    steps.wait(1_000)
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0100", "count": "1.00"})
    steps.wait(500)
    steps.cancel(order_id)

    def shown() -> tuple[str, str] | None:
        rows = steps.listed()
        return (rows[0]["status"], rows[0]["fill_count_fp"]) if rows else None

    assert shown() is None
    assert steps.call("GET", f"/portfolio/orders/{order_id}").status == 404
    assert steps.get("/portfolio/positions")["market_positions"] == []
    steps.wait(499)
    assert shown() is None
    steps.wait(1)
    assert as_of(steps) == "2026-09-21T14:13:20.000000Z"
    assert shown() == ("resting", "0.00")
    assert steps.get("/portfolio/fills")["fills"] == []
    steps.wait(1_000)
    assert shown() == ("resting", "1.00")
    assert len(steps.get("/portfolio/fills")["fills"]) == 1
    steps.wait(500)
    assert shown() == ("canceled", "1.00")


def test_the_balance_lags_too() -> None:
    steps = Steps(read_lag_ms=2_000)
    steps.wait(10_000)
    steps.create(price="0.5000", count="2.00")
    assert steps.get("/portfolio/balance", exchange_index=0)["balance_dollars"] == "1000000.0000"
    steps.wait(2_000)
    assert steps.get("/portfolio/balance", exchange_index=0)["balance_dollars"] == "999999.0000"


def test_without_lag_reads_are_live_even_when_the_clock_is_set_back(steps: Steps) -> None:
    steps.create(client_order_id="before")
    steps.wait(-3_600_000)
    steps.create(client_order_id="after")
    assert ids(steps) == ["after", "before"]
    assert as_of(steps) < "2026-09-21T14"
    # A search by time may not stop at the order with the early clock.
    assert ids(steps, min_ts=SECOND - 10) == ["before"]


def test_a_lag_survives_a_restart(tmp_path: Any) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3", read_lag_ms=2_000)
    steps.create(client_order_id="one")
    steps.reopen()
    assert steps.listed() == []
    steps.wait(2_000)
    assert ids(steps) == ["one"]


# ---- history


def test_ended_orders_and_fills_before_the_cutoff_are_only_in_the_historical_lists(steps: Steps) -> None:
    steps.create(client_order_id="rests")
    ended = steps.create(client_order_id="ended", price="0.9900", time_in_force="immediate_or_cancel").json["order_id"]
    steps.wait(10_000)
    steps.create(client_order_id="later", time_in_force="immediate_or_cancel")
    assert steps.get("/historical/orders")["orders"] == []
    steps.control(historical_cutoff=SECOND + 5)
    assert ids(steps) == ["later", "rests"]
    assert steps.call("GET", f"/portfolio/orders/{ended}").status == 404
    assert [row["client_order_id"] for row in steps.get("/historical/orders")["orders"]] == ["ended"]
    assert steps.get("/historical/orders", min_ts=SECOND + 1)["orders"] == []
    assert steps.get("/portfolio/fills")["fills"] == []
    assert [fill["order_id"] for fill in steps.get("/historical/fills")["fills"]] == [ended]
    assert steps.get("/historical/cutoff")["orders_updated_ts"] == "2026-09-21T14:13:25.000000Z"


# ---- markets and the exchange


def test_markets_have_their_filters_and_pages(steps: Steps) -> None:
    def tickers(**query: Any) -> list[str]:
        return [row["ticker"] for row in steps.get("/markets", **query)["markets"]]

    assert tickers(limit=1, status="open") == [TICKER]
    assert tickers(status="paused") == ["SBXRATE-B-T10"]
    assert tickers(status="closed") == ["SBXRATE-B-T20"]
    assert tickers(status="settled") == ["SBXRATE-B-T30"]
    assert tickers(status="unopened") == []
    assert tickers(tickers=f"{SPORTS},{TICKER}") == [TICKER, SPORTS]
    assert tickers(event_ticker="SBXGAME-A") == ["SBXGAME-A-T10", "SBXGAME-A-T20", "SBXGAME-A-T30"]
    assert len(tickers(series_ticker="SBXCOIN")) == 6
    assert tickers(mve_filter="only") == []
    assert tickers(max_close_ts=SECOND) == ["SBXRATE-B-T20", "SBXRATE-B-T30"]
    assert len(tickers(min_created_ts=SECOND)) == 0
    everything, cursor = [], ""
    for _ in range(30):
        page = steps.get("/markets", limit=7, cursor=cursor)
        everything += [row["ticker"] for row in page["markets"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert everything == tickers(limit=1000)
    assert len(everything) == len(set(everything)) == 30
    assert (
        steps.call("GET", "/markets", limit=1001).json["msg"].startswith("Parameter validation failed for GetMarkets")
    )
    assert steps.call("GET", "/markets", status="opened").status == 400


def test_markets_cover_every_grid_and_name_their_ranges(steps: Steps) -> None:
    grids = {row["price_level_structure"]: row["price_ranges"] for row in steps.get("/markets")["markets"]}
    assert grids["deci_cent"] == [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}]
    assert len(grids["tapered_deci_cent"]) == 3
    assert steps.create(ticker="SBXTEMP-A-T10", price="0.0010").status == 201
    assert steps.create(ticker="SBXTEMP-A-T10", price="0.5010").code == "invalid_price"
    assert steps.create(ticker="SBXTEMP-A-T10", price="0.9990", side="ask").status == 201
    assert steps.create(ticker="SBXCOIN-A-T10", price="0.0010").status == 201
    assert steps.create(ticker="SBXCOIN-A-T10", price="0.0011").code == "invalid_price"


def test_a_book_shows_bids_of_both_legs_best_last(steps: Steps) -> None:
    book = steps.get(f"/markets/{TICKER}/orderbook")["orderbook_fp"]
    bid, ask = steps.best()
    assert book["yes_dollars"][-1][0] == bid
    assert 10_000 - int(book["no_dollars"][-1][0].replace(".", "")) == int(ask.replace(".", ""))
    for leg in book.values():
        assert leg == sorted(leg)
    assert steps.get(f"/markets/{TICKER}/orderbook", depth=2)["orderbook_fp"]["yes_dollars"] == book["yes_dollars"][-2:]
    assert steps.call("GET", f"/markets/{TICKER}/orderbook", depth=101).status == 400
    both = steps.get("/markets/orderbooks", tickers=[TICKER, SPORTS])["orderbooks"]
    assert [row["ticker"] for row in both] == [TICKER, SPORTS]
    assert both[0]["orderbook_fp"] == book


def test_events_and_series_answer(steps: Steps) -> None:
    events = steps.get("/events", series_ticker="SBXGAME", with_nested_markets="true")["events"]
    assert [event["event_ticker"] for event in events] == ["SBXGAME-A", "SBXGAME-B"]
    assert len(events[0]["markets"]) == 3
    assert len(steps.get("/events/SBXGAME-A")["markets"]) == 3
    assert steps.call("GET", "/events/NOSUCH").status == 404
    assert steps.get("/series/SBXGAME")["series"]["fee_type"] == "quadratic_with_maker_fees"
    assert steps.call("GET", "/series/NOSUCH").status == 404
    assert len(steps.get("/series")["series"]) == 5


def test_status_schedule_costs_and_keys_answer(steps: Steps) -> None:
    assert steps.get("/exchange/status")["trading_active"] is True
    assert len(steps.get("/exchange/schedule")["schedule"]["standard_hours"]) == 1
    assert steps.get("/account/endpoint_costs")["default_cost"] == 10
    (key,) = steps.get("/api_keys")["api_keys"]
    assert (key["api_key_id"], key["scopes"], key["subaccount"]) == (steps.key.key_id, ["read", "write"], None)
    assert steps.get("/portfolio/subaccounts/balances")["subaccount_balances"][0]["balance"] == "1000000.0000"
    steps.create(price="0.1000", count="10.00")
    assert steps.get("/portfolio/summary/total_resting_order_value")["total_resting_order_value"] == 100
    assert steps.call("GET", "/no/such/thing").status == 404
