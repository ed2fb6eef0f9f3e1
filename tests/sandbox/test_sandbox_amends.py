"""Amend and decrease: what they change, what keeps the place in the queue, and what they are refused for."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.stepping import ORDERS, SPORTS, START_US, TICKER, Answer, Steps

SECOND = START_US // 1_000_000


@pytest.fixture
def steps() -> Steps:
    return Steps()


def placed(steps: Steps, **changes: Any) -> str:
    return str(steps.create(**{"price": "0.0200", "count": "5.00", **changes}).json["order_id"])


def amend(steps: Steps, order_id: str, **changes: Any) -> Answer:
    usual = {"ticker": TICKER, "side": "bid", "price": "0.0200", "count": "5.00"}
    return steps.call("POST", f"{ORDERS}/{order_id}/amend", {**usual, **changes})


def decrease(steps: Steps, order_id: str, **body: Any) -> Answer:
    return steps.call("POST", f"{ORDERS}/{order_id}/decrease", body)


def ahead(steps: Steps, order_id: str) -> Fraction:
    return Fraction(steps.get(f"/portfolio/orders/{order_id}/queue_position")["queue_position_fp"])


def free(steps: Steps) -> Fraction:
    return Fraction(steps.get("/portfolio/balance", exchange_index=0)["balance_dollars"])


def test_a_smaller_size_keeps_the_place_and_gives_money_back(steps: Steps) -> None:
    first, before = placed(steps, client_order_id="one"), free(steps)
    second = placed(steps)
    place = ahead(steps, first)
    answer = amend(steps, first, count="2.00")
    assert answer.json == {
        "order_id": first,
        "client_order_id": "one",
        "remaining_count": "2.00",
        "fill_count": "0.00",
        "ts_ms": steps.now_us // 1000,
    }
    assert (ahead(steps, first), ahead(steps, second)) == (place, place + 2)
    assert free(steps) == before + Fraction("0.06") - Fraction("0.10")


@pytest.mark.parametrize("changes", [{"count": "6.00"}, {"price": "0.0300"}])
def test_a_larger_size_or_another_price_loses_the_place(steps: Steps, tmp_path: Path, changes: dict[str, str]) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    order_id, other = placed(steps), placed(steps, price=changes.get("price", "0.0200"))
    answer = amend(steps, order_id, **changes)
    assert (answer.status, answer.json["order_id"]) == (200, order_id)
    assert ahead(steps, order_id) == ahead(steps, other) + 5
    steps.reopen()
    assert ahead(steps, order_id) == ahead(steps, other) + 5


def test_another_price_may_trade_at_once_and_reports_only_that(steps: Steps) -> None:
    order_id = placed(steps)
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "1.00"})
    answer = amend(steps, order_id, price=steps.best()[1], count="4.00").json
    assert (answer["fill_count"], answer["remaining_count"]) == ("3.00", "0.00")
    assert answer["average_fill_price"] > "0.0200"
    (order,) = steps.listed()
    assert (order["status"], order["fill_count_fp"], order["initial_count_fp"]) == ("executed", "4.00", "4.00")


def test_the_count_is_the_total_so_what_is_filled_cannot_be_taken_back(steps: Steps) -> None:
    order_id = placed(steps)
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "2.00"})
    assert amend(steps, order_id, count="2.00").code == "INVALID_AMEND_QTY_FOR_ORDER"
    assert amend(steps, order_id, count="2.50").json["remaining_count"] == "0.50"


def test_an_amend_to_the_same_says_only_the_ids(steps: Steps) -> None:
    order_id = placed(steps)
    assert amend(steps, order_id).json.keys() == {"order_id", "ts_ms"}


@pytest.mark.parametrize("changes", [{"price": "0.0300"}, {"expiration_time": SECOND + 60}])
def test_what_neither_fills_nor_changes_the_size_has_no_counts(steps: Steps, changes: dict[str, Any]) -> None:
    assert amend(steps, placed(steps), **changes).json.keys() == {"order_id", "ts_ms"}


def test_a_lagging_read_shows_the_old_id_and_terms_together() -> None:
    steps = Steps(read_lag_ms=1_000)
    order_id = placed(steps, client_order_id="old")
    steps.wait(2_000)
    amend(steps, order_id, updated_client_order_id="new", count="2.00")

    def shown() -> tuple[str, str]:
        (row,) = steps.listed()
        return row["client_order_id"], row["remaining_count_fp"]

    steps.wait(999)
    assert shown() == ("old", "5.00")
    steps.wait(1)
    assert shown() == ("new", "2.00")


def test_the_expiry_can_be_kept_set_and_cleared(steps: Steps) -> None:
    order_id = placed(steps)
    for given, shown in (({"expiration_time": SECOND + 60}, True), ({}, True), ({"expiration_time": 0}, False)):
        assert amend(steps, order_id, **given).status == 200
        assert (steps.listed()[0]["expiration_time"] is not None) is shown
    amend(steps, order_id, expiration_time=SECOND + 60)
    assert amend(steps, order_id, expiration_time=SECOND).code == "invalid_order"
    steps.wait(60_000)
    assert steps.listed()[0]["status"] == "canceled"


def test_a_new_client_order_id_takes_over_and_the_old_one_stays_used(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    order_id = placed(steps, client_order_id="old")
    placed(steps, client_order_id="taken")
    assert amend(steps, order_id, updated_client_order_id="taken").code == "order_already_exists"
    assert amend(steps, order_id, updated_client_order_id="new").json["client_order_id"] == "new"
    for _ in range(2):
        assert [row["client_order_id"] for row in steps.listed()] == ["taken", "new"]
        assert [steps.create(client_order_id=used).status for used in ("old", "new")] == [409, 409]
        steps.reopen()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ticker": SPORTS}, "order_ticker_mismatch"),
        ({"ticker": None}, "missing_parameters"),
        ({"side": "ask"}, "order_side_mismatch"),
        ({"client_order_id": "other"}, "order_id_and_client_order_id_mismatch"),
        ({"price": "0.0205"}, "invalid_price"),
        ({"count": "0"}, "invalid_order_size"),
        ({"count": 3}, "bad_request"),
        ({"count": "90000000.00"}, "insufficient_balance"),
    ],
)
def test_a_bad_amend_is_refused_by_name_and_changes_nothing(steps: Steps, changes: dict[str, Any], code: str) -> None:
    order_id = placed(steps, client_order_id="one")
    before = steps.listed()
    answer = amend(steps, order_id, **changes)
    assert (answer.status, answer.code) == (400, code)
    assert steps.listed() == before


def test_post_only_stays_post_only(steps: Steps) -> None:
    order_id = placed(steps, post_only=True)
    assert amend(steps, order_id, price="0.9900").json["error"]["details"] == "post only cross"


def test_what_does_not_rest_is_not_found(steps: Steps) -> None:
    order_id = placed(steps)
    steps.cancel(order_id)
    for gone in (order_id, "nothing"):
        assert amend(steps, gone).status == 404
        assert decrease(steps, gone, reduce_by="1.00").status == 404
    assert amend(steps, placed(steps, subaccount=1)).status == 404


def test_decrease_by_and_to(steps: Steps) -> None:
    order_id = placed(steps, client_order_id="one")
    assert decrease(steps, order_id, reduce_by="1.50").json == {
        "order_id": order_id,
        "client_order_id": "one",
        "remaining_count": "3.50",
        "ts_ms": steps.now_us // 1000,
    }
    for _ in range(2):
        assert decrease(steps, order_id, reduce_to="2.00").json["remaining_count"] == "2.00"
    assert free(steps) == 1_000_000 - Fraction("0.04")
    for body in (
        {},
        {"reduce_by": "1", "reduce_to": "1"},
        {"reduce_by": "2.01"},
        {"reduce_to": "2.01"},
        {"reduce_to": "x"},
    ):
        assert decrease(steps, order_id, **body).status == 400
    assert decrease(steps, order_id, reduce_to="0").json["remaining_count"] == "0.00"
    assert steps.listed()[0]["status"] == "canceled"


def test_a_decrease_elsewhere_needs_the_ticker(steps: Steps) -> None:
    order_id = placed(steps, ticker=SPORTS)
    assert decrease(steps, order_id, reduce_by="1.00").status == 404
    assert decrease(steps, order_id, reduce_by="1.00", market_ticker=SPORTS).status == 200


def test_a_pause_refuses_amends(steps: Steps) -> None:
    order_id = placed(steps)
    steps.control(pause="trading")
    assert amend(steps, order_id).code == "trading_is_paused"
    assert decrease(steps, order_id, reduce_by="1.00").code == "trading_is_paused"


def test_an_amend_that_meets_an_own_order_follows_its_prevention(steps: Steps) -> None:
    ask = steps.create(client_order_id="ask", side="ask", price="0.9900").json["order_id"]
    taker, maker = placed(steps), placed(steps, self_trade_prevention_type="maker")
    assert amend(steps, taker, price="0.9900", count="9000.00").json["remaining_count"] == "0.00"
    assert steps.get(f"/portfolio/orders/{taker}")["order"]["status"] == "canceled"
    assert steps.get(f"/portfolio/orders/{ask}")["order"]["status"] == "resting"
    assert Fraction(amend(steps, maker, price="0.9900", count="9000.00").json["remaining_count"]) > 0
    assert steps.get(f"/portfolio/orders/{ask}")["order"]["status"] == "canceled"
