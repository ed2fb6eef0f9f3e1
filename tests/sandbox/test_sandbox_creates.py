"""Creating orders: formats, rules, identity, and what the exchange says to each."""

from pathlib import Path
from typing import Any

import pytest

from oms.sandbox import auth
from oms.sandbox.wire import Request
from tests.sandbox.running import signed_headers
from tests.sandbox.stepping import ORDERS, SPORTS, START_US, TICKER, Steps, order

SECOND = START_US // 1_000_000


@pytest.fixture
def steps() -> Steps:
    return Steps()


def test_a_resting_create_answers_flat_without_a_status(steps: Steps) -> None:
    answer = steps.create(client_order_id="one")
    assert answer.status == 201
    assert {**answer.json, "order_id": ""} == {
        "order_id": "",
        "client_order_id": "one",
        "fill_count": "0.00",
        "remaining_count": "1.00",
        "ts_ms": START_US // 1000,
    }


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"ticker": None}, 400, "missing_parameters"),
    ({"ticker": "NOSUCH"}, 404, "market_not_found"),
    ({"exchange_index": 1}, 404, "market_not_found"),
    ({"side": None}, 400, "invalid_order"),
    ({"side": "buy"}, 400, "invalid_order"),
    ({"count": None}, 400, "invalid_order"),
    ({"count": 1}, 400, "bad_request"),
    ({"count": "0"}, 400, "invalid_order_size"),
    ({"count": "1.001"}, 400, "invalid_order_size"),
    ({"count": "-1"}, 400, "invalid_order_size"),
    ({"count": "1e3"}, 400, "invalid_order_size"),
    ({"count": "\uff11"}, 400, "invalid_order_size"),
    ({"price": None}, 400, "invalid_order"),
    ({"price": 0.5}, 400, "bad_request"),
    ({"price": "0.5050"}, 400, "invalid_price"),
    ({"price": "0.50001"}, 400, "invalid_price"),
    ({"price": "0.00"}, 400, "invalid_price"),
    ({"price": "1.00"}, 400, "invalid_price"),
    ({"price": "0.0105"}, 400, "invalid_price"),
    ({"time_in_force": None}, 400, "missing_parameters"),
    ({"time_in_force": "gtc"}, 400, "invalid_parameters"),
    ({"self_trade_prevention_type": None}, 400, "missing_parameters"),
    ({"client_order_id": "a.b"}, 400, "invalid_parameters"),
    ({"client_order_id": "x" * 65}, 400, "invalid_parameters"),
    ({"client_order_id": "ü"}, 400, "invalid_parameters"),
    ({"client_order_id": 7}, 400, "bad_request"),
    ({"post_only": "yes"}, 400, "bad_request"),
    ({"subaccount": 64}, 400, "invalid_parameters"),
    ({"subaccount": 5}, 400, "insufficient_balance"),
    ({"order_group_id": "g"}, 404, "ORDER_GROUP_NOT_FOUND"),
    ({"reduce_only": True}, 400, "invalid_order"),
    ({"post_only": True, "time_in_force": "immediate_or_cancel"}, 400, "invalid_order"),
    ({"post_only": True, "price": "0.9900"}, 400, "invalid_order"),
    ({"expiration_time": SECOND + 60, "time_in_force": "immediate_or_cancel"}, 400, "invalid_order"),
    ({"expiration_time": SECOND}, 400, "invalid_order"),
    ({"expiration_time": 10**18}, 400, "invalid_parameters"),
    ({"expiration_time": 10**19}, 400, "bad_request"),
    ({"expiration_time": str(SECOND + 60)}, 400, "bad_request"),
    ({"count": "100000000.01"}, 400, "insufficient_balance"),
    ({"ticker": "SBXRATE-B-T10"}, 409, "trading_is_paused"),
    ({"ticker": "SBXRATE-B-T20"}, 400, "MARKET_ALREADY_CLOSED"),
]


@pytest.mark.parametrize(("changes", "status", "code"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_bad_create_is_refused_by_name_and_leaves_no_trace(
    steps: Steps, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = steps.create(**{"client_order_id": "one", **changes})
    assert (answer.status, answer.code) == (status, code), answer
    assert steps.listed() == []
    assert steps.create(client_order_id="one").status == 201


def test_a_number_where_text_belongs_is_refused_in_the_words_of_the_exchanges_decoder(steps: Steps) -> None:
    assert steps.create(count=1).json == {
        "code": "bad_request",
        "message": "bad request",
        "details": "json: cannot unmarshal number into Go struct field CreateOrderV2Request.count of type string",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"NaN", b"[" * 100_000], ids=repr)
def test_a_body_that_is_no_object_is_refused_in_the_flat_shape(steps: Steps, body: bytes) -> None:
    answer = steps.call("POST", ORDERS, body)
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


def test_every_character_of_the_id_format_is_accepted(steps: Steps) -> None:
    wanted = "aZ09_-:+=/" + "x" * 54
    assert steps.create(client_order_id=wanted).json["client_order_id"] == wanted


def test_an_order_without_an_id_is_accepted_and_never_a_duplicate(steps: Steps) -> None:
    assert "client_order_id" not in steps.create().json
    assert steps.create().status == 201
    assert [order["client_order_id"] for order in steps.listed()] == ["", ""]


def test_post_only_that_would_cross_says_so(steps: Steps) -> None:
    assert steps.create(post_only=True, price="0.9900").json == {
        "error": {"code": "invalid_order", "message": "invalid order", "details": "post only cross"}
    }


def test_money_short_on_an_unfunded_shard_has_a_code_of_its_own(steps: Steps) -> None:
    assert steps.create(ticker=SPORTS, subaccount=1).code == "insufficient_shard_balance"


# ---- identity


def test_a_used_id_is_refused_whatever_became_of_its_order(steps: Steps) -> None:
    rested = steps.create(client_order_id="rested").json["order_id"]
    steps.cancel(rested)
    steps.create(client_order_id="filled", price="0.9900", time_in_force="immediate_or_cancel")
    steps.create(client_order_id="missed", time_in_force="immediate_or_cancel")
    for used in ("rested", "filled", "missed"):
        answer = steps.create(client_order_id=used)
        assert (answer.status, answer.json) == (
            409,
            {"error": {"code": "order_already_exists", "message": "order already exists"}},
        )


def test_a_killed_fill_or_kill_uses_its_id_up_without_an_order(steps: Steps, tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    answer = steps.create(client_order_id="one", count="90000.00", price="0.9900", time_in_force="fill_or_kill")
    assert (answer.status, answer.code) == (409, "fill_or_kill_insufficient_resting_volume")
    assert steps.listed() == []
    assert steps.create(client_order_id="one").code == "order_already_exists"
    steps.reopen()
    assert steps.create(client_order_id="one").code == "order_already_exists"


def test_with_open_only_an_id_is_free_again_once_its_order_ended() -> None:
    steps = Steps(dedupe="open_only")
    first = steps.create(client_order_id="one").json["order_id"]
    assert steps.create(client_order_id="one").code == "order_already_exists"
    steps.cancel(first)
    assert steps.create(client_order_id="one").status == 201


def test_a_refused_create_uses_its_id_up_only_when_told_so() -> None:
    steps = Steps(burn_refused_ids=True)
    assert steps.create(client_order_id="one", price="0.0105").code == "invalid_price"
    assert steps.create(client_order_id="one").code == "order_already_exists"


def test_ids_are_kept_apart_by_user(steps: Steps) -> None:
    steps.create(client_order_id="one")
    other = auth.new_private_pem("ed25519")
    key_id = steps.control(add_key={"private_pem": other.decode(), "user_id": "somebody"})["added_key_id"]
    steps.exchange.state.accounts["somebody"].purse(0, 0).cash_e6 = 10**9
    mine = steps.request("POST", ORDERS, order(client_order_id="one"))
    headers = signed_headers(key_id, other, "POST", mine.path, steps.now_us // 1000)
    theirs = Request("POST", mine.path, (), {name.lower(): value for name, value in headers.items()}, mine.body)
    assert steps.exchange.handle(theirs, steps.now_us).status == 201
    assert len(steps.listed()) == 1


# ---- batches


def test_a_batch_answers_each_item_for_itself_with_nulls(steps: Steps) -> None:
    items = [order(client_order_id="a"), order(client_order_id="b", price="0.0105"), order(client_order_id="a")]
    answer = steps.call("POST", f"{ORDERS}/batched", {"orders": items})
    assert answer.status == 201
    good, bad, twice = answer.json["orders"]
    assert (good["client_order_id"], good["error"], good["average_fill_price"]) == ("a", None, None)
    assert bad["error"] == {"code": "invalid_price", "message": "invalid price", "details": ""}
    assert (bad["client_order_id"], bad["fill_count"], bad["ts_ms"]) == ("b", None, None)
    assert "order_id" not in bad
    assert twice["error"]["code"] == "order_already_exists"


def test_a_batch_with_one_wrong_type_is_refused_whole(steps: Steps) -> None:
    items = [order(client_order_id="a"), order(client_order_id="b", count=1)]
    answer = steps.call("POST", f"{ORDERS}/batched", {"orders": items})
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert steps.listed() == []


def test_a_batch_is_as_large_as_the_write_bucket_allows() -> None:
    steps = Steps(tier="basic")
    items = [order(client_order_id=f"n{number}") for number in range(11)]
    assert steps.call("POST", f"{ORDERS}/batched", {"orders": items}).status == 429
    steps.wait(1000)
    assert steps.call("POST", f"{ORDERS}/batched", {"orders": items[:10]}).status == 201


def test_an_empty_batch_is_refused(steps: Steps) -> None:
    assert steps.call("POST", f"{ORDERS}/batched", {"orders": []}).code == "missing_parameters"
    assert steps.call("POST", f"{ORDERS}/batched", {}).code == "missing_parameters"


# ---- the exchange as a whole


def test_pauses_refuse_creates_with_their_codes_and_only_the_exchange_pause_refuses_cancels(steps: Steps) -> None:
    order_id = steps.create().json["order_id"]
    steps.control(pause="exchange")
    assert steps.create().code == "exchange_is_paused"
    assert steps.cancel(order_id).code == "exchange_is_paused"
    status = steps.get("/exchange/status")
    assert (status["exchange_active"], status["trading_active"]) == (False, False)
    steps.control(pause="trading")
    assert steps.create().code == "trading_is_paused"
    assert steps.cancel(order_id).status == 200
    steps.control(pause="none")
    assert steps.create(ticker=TICKER).status == 201


def test_orders_that_asked_for_it_are_canceled_when_a_pause_begins(steps: Steps) -> None:
    steps.create(client_order_id="stays")
    steps.create(client_order_id="goes", cancel_order_on_pause=True)
    steps.control(pause="trading")
    assert {row["client_order_id"]: row["status"] for row in steps.listed()} == {
        "stays": "resting",
        "goes": "canceled",
    }


def test_an_expired_order_is_canceled_at_its_second(steps: Steps) -> None:
    steps.create(client_order_id="one", expiration_time=SECOND + 5)
    steps.wait(4_999)
    assert steps.listed()[0]["status"] == "resting"
    steps.wait(60_000)
    (expired,) = steps.listed()
    assert expired["status"] == "canceled"
    assert expired["last_update_time"] == expired["expiration_time"]
