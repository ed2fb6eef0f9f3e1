"""The retired V1 writes: 410, or alive with --v1-compat."""

from typing import Any

import pytest

from tests.sandbox.stepping import SPORTS, TICKER, Answer, Steps

V1 = "/portfolio/orders"


@pytest.fixture
def steps() -> Steps:
    return Steps(v1_compat=True)


def create(steps: Steps, **changes: Any) -> Answer:
    usual = {"ticker": TICKER, "action": "buy", "side": "yes", "count": 1, "type": "limit", "yes_price": 1}
    body = {name: value for name, value in {**usual, **changes}.items() if value is not None}
    return steps.call("POST", V1, body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", V1),
        ("POST", f"{V1}/batched"),
        ("DELETE", f"{V1}/batched"),
        ("DELETE", f"{V1}/some-order"),
        ("POST", f"{V1}/some-order/amend"),
        ("POST", f"{V1}/some-order/decrease"),
        ("PUT", f"{V1}/some-order"),
    ],
)
def test_the_retired_writes_answer_410(method: str, path: str) -> None:
    answer = Steps().call(method, path, {})
    assert (answer.status, answer.code) == (410, "deprecated_v1_order_endpoint")


def test_the_410_points_to_v2() -> None:
    assert Steps().call("POST", V1, {}).json == {
        "error": {
            "code": "deprecated_v1_order_endpoint",
            "message": "Please switch to the V2 endpoints",
            "details": "https://docs.kalshi.com/api-reference/orders/create-order-v2",
        }
    }


def test_the_order_of_the_quick_start_guide_rests_with_a_status(steps: Steps) -> None:
    answer = create(steps, client_order_id="one")
    assert answer.status == 201
    order = answer.json["order"]
    assert (order["status"], order["client_order_id"], order["yes_price_dollars"]) == ("resting", "one", "0.0100")
    assert steps.listed() == [order]


@pytest.mark.parametrize(
    ("action", "side", "price", "book_side", "yes_price"),
    [
        ("buy", "yes", {"yes_price": 2}, "bid", "0.0200"),
        ("sell", "yes", {"yes_price": 98}, "ask", "0.9800"),
        ("buy", "no", {"no_price": 2, "yes_price": None}, "ask", "0.9800"),
        ("sell", "no", {"no_price": 98, "yes_price": None}, "bid", "0.0200"),
        ("buy", "no", {"yes_price": 98}, "ask", "0.9800"),
        ("buy", "yes", {"yes_price": None, "yes_price_dollars": "0.0200"}, "bid", "0.0200"),
        ("buy", "no", {"yes_price": None, "no_price_dollars": "0.0200"}, "ask", "0.9800"),
    ],
)
def test_both_legs_meet_in_the_yes_book(
    steps: Steps, action: str, side: str, price: dict[str, Any], book_side: str, yes_price: str
) -> None:
    order = create(steps, action=action, side=side, **price).json["order"]
    assert (order["book_side"], order["yes_price_dollars"]) == (book_side, yes_price)
    assert (order["action"], order["side"]) == (action, side)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ticker": None}, "missing_parameters"),
        ({"action": "hold"}, "invalid_parameters"),
        ({"side": None}, "missing_parameters"),
        ({"count": 0}, "invalid_order_size"),
        ({"count": None}, "invalid_order"),
        ({"count": "1"}, "bad_request"),
        ({"type": "market"}, "invalid_parameters"),
        ({"yes_price": None}, "invalid_order"),
        ({"no_price": 5}, "invalid_order"),
        ({"yes_price": 100}, "invalid_price"),
        ({"yes_price": None, "yes_price_dollars": "x"}, "invalid_price"),
        ({"buy_max_cost": 5}, "invalid_parameters"),
    ],
)
def test_a_bad_v1_create_is_refused_by_name(steps: Steps, changes: dict[str, Any], code: str) -> None:
    answer = create(steps, **changes)
    assert (answer.status, answer.code) == (400, code)
    assert steps.listed() == []


def test_ids_are_shared_with_v2(steps: Steps) -> None:
    create(steps, client_order_id="one")
    assert create(steps, client_order_id="one").code == "order_already_exists"
    assert steps.create(client_order_id="one").code == "order_already_exists"


def test_a_cancel_answers_the_order_and_finds_it_on_any_shard(steps: Steps) -> None:
    order_id = create(steps, ticker=SPORTS, count=None, count_fp="2.50").json["order"]["order_id"]
    answer = steps.call("DELETE", f"{V1}/{order_id}")
    assert (answer.status, answer.json["reduced_by_fp"], answer.json["order"]["status"]) == (200, "2.50", "canceled")
    assert steps.call("DELETE", f"{V1}/{order_id}").status == 404


def test_batches_answer_each_item_for_itself(steps: Steps) -> None:
    item = {"ticker": TICKER, "action": "buy", "side": "yes", "count": 1, "yes_price": 1}
    items = [{**item, "client_order_id": "a"}, {**item, "client_order_id": "a"}]
    good, bad = steps.call("POST", f"{V1}/batched", {"orders": items}).json["orders"]
    assert (good["order"]["status"], good["error"]) == ("resting", None)
    assert (bad["order"], bad["error"]["code"]) == (None, "order_already_exists")
    order_id = good["order"]["order_id"]
    done, gone = steps.call("DELETE", f"{V1}/batched", {"ids": [order_id, order_id]}).json["orders"]
    assert (done["order"]["status"], done["reduced_by_fp"]) == ("canceled", "1.00")
    assert (gone["order"], gone["error"]["code"]) == (None, "not_found")


AMENDS = [("POST", "/amend"), ("PUT", "")]


@pytest.mark.parametrize(("method", "path"), AMENDS)
@pytest.mark.parametrize(
    ("changes", "price", "total", "remaining"),
    [
        ({"yes_price": 3, "count": 7}, "0.0300", "7.00", "6.00"),
        ({"yes_price": 2, "count": 3}, "0.0200", "3.00", "2.00"),
        ({"yes_price": 2, "count_fp": "3.50"}, "0.0200", "3.50", "2.50"),
        ({"yes_price_dollars": "0.0300"}, "0.0300", "5.00", "4.00"),
        ({"no_price": 97}, "0.0300", "5.00", "4.00"),
    ],
)
def test_an_amend_answers_the_order_before_and_after(
    steps: Steps, method: str, path: str, changes: dict[str, Any], price: str, total: str, remaining: str
) -> None:
    order_id = create(steps, count=5, yes_price=2, client_order_id="one").json["order"]["order_id"]
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "1.00"})
    before = steps.listed()[0]
    body = {"ticker": TICKER, "side": "yes", "action": "buy", **changes}
    answer = steps.call(method, f"{V1}/{order_id}{path}", body)
    assert (answer.status, answer.json["old_order"]) == (200, before)
    assert steps.listed() == [answer.json["order"]]
    after = answer.json["order"]
    assert (after["yes_price_dollars"], after["initial_count_fp"], after["remaining_count_fp"]) == (
        price,
        total,
        remaining,
    )


def test_the_put_of_the_guide_keeps_what_it_does_not_name_and_the_post_does_not(steps: Steps) -> None:
    order_id = create(steps, action="buy", side="no", yes_price=None, no_price=2, count=5).json["order"]["order_id"]
    assert steps.call("PUT", f"{V1}/{order_id}", {"count": 3}).json["order"]["remaining_count_fp"] == "3.00"
    assert steps.call("PUT", f"{V1}/{order_id}", {"no_price": 1}).json["order"]["no_price_dollars"] == "0.0100"
    assert steps.call("POST", f"{V1}/{order_id}/amend", {"count": 2}).code == "missing_parameters"
    given = {"ticker": TICKER, "side": "no", "action": "buy"}
    assert steps.call("POST", f"{V1}/{order_id}/amend", {**given, "count": 2}).code == "invalid_order"
    assert steps.call("POST", f"{V1}/{order_id}/amend", {**given, "no_price": 1, "count": 2}).status == 200


@pytest.mark.parametrize(("method", "path"), AMENDS)
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ticker": SPORTS}, "order_ticker_mismatch"),
        ({"side": "no"}, "order_side_mismatch"),
        ({"action": "sell"}, "order_side_mismatch"),
        ({"client_order_id": "other"}, "order_id_and_client_order_id_mismatch"),
        ({"count": 0}, "invalid_order_size"),
        ({"no_price": 3}, "invalid_order"),
        ({"yes_price": 100}, "invalid_price"),
        ({"count": "3"}, "bad_request"),
    ],
)
def test_a_bad_v1_amend_changes_nothing(
    steps: Steps, method: str, path: str, changes: dict[str, Any], code: str
) -> None:
    order_id = create(steps, client_order_id="one").json["order"]["order_id"]
    before = steps.listed()
    body = {"ticker": TICKER, "side": "yes", "action": "buy", "yes_price": 1, "count": 2, **changes}
    answer = steps.call(method, f"{V1}/{order_id}{path}", body)
    assert (answer.status, answer.code) == (400, code)
    assert steps.listed() == before


def test_a_v1_amend_may_rename_the_order_and_finds_it_on_any_shard(steps: Steps) -> None:
    order_id = create(steps, ticker=SPORTS, client_order_id="one").json["order"]["order_id"]
    body = {"client_order_id": "one", "updated_client_order_id": "two"}
    assert steps.call("PUT", f"{V1}/{order_id}", body).json["order"]["client_order_id"] == "two"
    steps.call("DELETE", f"{V1}/{order_id}")
    assert steps.call("PUT", f"{V1}/{order_id}", body).status == 404


@pytest.mark.parametrize(
    ("body", "status", "remaining"),
    [
        ({"reduce_by": 2}, 200, "3.00"),
        ({"reduce_to": 2}, 200, "2.00"),
        ({"reduce_by_fp": "0.50"}, 200, "4.50"),
        ({"reduce_to_fp": "0.50"}, 200, "0.50"),
        ({"reduce_to": 0}, 200, "0.00"),
        ({"reduce_to": 6}, 400, "5.00"),
        ({"reduce_by": -1}, 400, "5.00"),
        ({"reduce_by": 1, "reduce_to": 1}, 400, "5.00"),
        ({}, 400, "5.00"),
    ],
    ids=str,
)
def test_a_v1_decrease_answers_the_order(steps: Steps, body: dict[str, Any], status: int, remaining: str) -> None:
    order_id = create(steps, count=5).json["order"]["order_id"]
    answer = steps.call("POST", f"{V1}/{order_id}/decrease", body)
    assert answer.status == status
    (row,) = steps.listed()
    assert row["remaining_count_fp"] == remaining
    if status == 200:
        assert answer.json == {"order": row}
