"""Cancels: where they are routed, the 404 that says nothing, batches, and cancel-all."""

from typing import Any

import pytest

from tests.sandbox.stepping import ORDERS, SPORTS, TICKER, Steps

NOT_FOUND = {"error": {"code": "not_found", "message": "not found"}}


@pytest.fixture
def steps() -> Steps:
    return Steps()


def placed(steps: Steps, **changes: Any) -> str:
    answer = steps.create(**changes)
    assert answer.status == 201, answer
    return str(answer.json["order_id"])


def test_a_cancel_answers_what_it_took_off_and_the_order_shows_nothing_left(steps: Steps) -> None:
    order_id = placed(steps, client_order_id="one", count="2.50")
    steps.wait(1)
    answer = steps.cancel(order_id)
    assert answer.json == {
        "order_id": order_id,
        "client_order_id": "one",
        "reduced_by": "2.50",
        "ts_ms": steps.now_us // 1000,
    }
    (order,) = steps.listed()
    assert (order["status"], order["remaining_count_fp"], order["initial_count_fp"]) == ("canceled", "0.00", "2.50")


def test_canceled_executed_and_unknown_answer_the_same_bytes(steps: Steps) -> None:
    canceled = placed(steps)
    steps.cancel(canceled)
    executed = placed(steps, price="0.9900", time_in_force="immediate_or_cancel")
    for order_id in (canceled, executed, "00000000-0000-4000-8000-000000000000"):
        answer = steps.cancel(order_id)
        assert (answer.status, answer.json) == (404, NOT_FOUND)


def test_without_a_ticker_a_cancel_goes_to_shard_zero_and_misses_an_order_elsewhere(steps: Steps) -> None:
    elsewhere, here = placed(steps, ticker=SPORTS), placed(steps)
    assert steps.call("DELETE", f"{ORDERS}/{elsewhere}").status == 404
    assert steps.cancel(elsewhere, market_ticker=TICKER).status == 404
    assert steps.cancel(elsewhere, market_ticker="NOSUCH").status == 404
    assert steps.cancel(elsewhere, exchange_index=-1).code == "missing_parameters"
    assert steps.cancel(elsewhere, exchange_index=1).status == 200
    assert steps.call("DELETE", f"{ORDERS}/{here}").status == 200


def test_a_cancel_with_a_ticker_is_routed_by_it(steps: Steps) -> None:
    order_id = placed(steps, ticker=SPORTS)
    assert steps.cancel(order_id, market_ticker=SPORTS).status == 200


def test_a_cancel_means_subaccount_zero_unless_it_names_another(steps: Steps) -> None:
    order_id = placed(steps, subaccount=1)
    assert steps.cancel(order_id).status == 404
    assert steps.cancel(order_id, market_ticker=TICKER, subaccount=1).status == 200


def test_a_batch_of_cancels_answers_each_for_itself(steps: Steps) -> None:
    here, elsewhere, other = (
        placed(steps, client_order_id="a"),
        placed(steps, ticker=SPORTS),
        placed(steps, subaccount=1),
    )
    items = [
        {"order_id": here},
        {"order_id": elsewhere},
        {"order_id": elsewhere, "market_ticker": SPORTS},
        {"order_id": other, "subaccount": 1},
        {"order_id": "nothing"},
    ]
    answer = steps.call("DELETE", f"{ORDERS}/batched", {"orders": items})
    assert answer.status == 200
    rows = answer.json["orders"]
    assert [row["reduced_by"] for row in rows] == ["1.00", "0.00", "1.00", "1.00", "0.00"]
    assert [row["error"] and row["error"]["code"] for row in rows] == [None, "not_found", None, None, "not_found"]
    assert rows[1] == {
        "order_id": elsewhere,
        "reduced_by": "0.00",
        "ts_ms": None,
        "error": {"code": "not_found", "message": "not found", "details": ""},
    }
    assert all(row["status"] == "canceled" for row in steps.listed())


def test_a_batch_of_cancels_without_an_id_is_refused(steps: Steps) -> None:
    assert steps.call("DELETE", f"{ORDERS}/batched", {"orders": [{}]}).code == "missing_parameters"


def test_cancel_all_is_a_204_over_all_shards_and_subaccounts(steps: Steps) -> None:
    for changes in ({}, {"ticker": SPORTS}, {"subaccount": 1}):
        placed(steps, **changes)
    answer = steps.call("DELETE", ORDERS)
    assert (answer.status, answer.response.body) == (204, b"")
    assert steps.listed(status="resting") == []


def test_cancel_all_of_one_subaccount_leaves_the_others(steps: Steps) -> None:
    placed(steps, client_order_id="zero")
    placed(steps, client_order_id="one", subaccount=1)
    steps.call("DELETE", ORDERS, subaccount=1)
    assert [row["client_order_id"] for row in steps.listed(status="resting")] == ["zero"]


def test_cancel_all_leaves_strangers_alone(steps: Steps) -> None:
    before = steps.best()
    steps.call("DELETE", ORDERS)
    assert steps.best() == before


def test_cancel_all_may_catch_orders_of_the_following_minute() -> None:
    steps = Steps(cancel_all_tail_ms=60_000)
    steps.call("DELETE", ORDERS)
    steps.wait(59_000)
    assert steps.create(client_order_id="caught").json["remaining_count"] == "0.00"
    steps.wait(2_000)
    steps.create(client_order_id="free")
    assert {row["client_order_id"]: row["status"] for row in steps.listed()} == {
        "caught": "canceled",
        "free": "resting",
    }


def test_the_tail_may_take_an_order_after_it_was_answered_as_resting() -> None:
    steps = Steps(cancel_all_tail_ms=60_000, cancel_all_tail_delay_ms=2_000)
    steps.call("DELETE", ORDERS, subaccount=0)
    placed(steps, client_order_id="other", subaccount=1)
    assert steps.create(client_order_id="caught").json["remaining_count"] == "1.00"
    steps.wait(1_999)
    assert {row["status"] for row in steps.listed()} == {"resting"}
    steps.wait(1)
    assert [row["client_order_id"] for row in steps.listed(status="canceled")] == ["caught"]
    assert steps.listed(status="canceled")[0]["last_update_time"] == "2026-09-21T14:13:22.000000Z"


def test_a_partly_filled_order_keeps_its_fills_when_canceled(steps: Steps) -> None:
    order_id = placed(steps, count="5.00")
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0100", "count": "2.00"})
    assert steps.cancel(order_id).json["reduced_by"] == "3.00"
    (order,) = steps.listed()
    assert (order["status"], order["fill_count_fp"], order["remaining_count_fp"]) == ("canceled", "2.00", "0.00")
