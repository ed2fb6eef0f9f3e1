"""Who may ask, and how often: signatures, clock, scopes, token buckets."""

from typing import Any

import pytest

from oms.sandbox import auth
from oms.sandbox.wire import PREFIX, Request
from tests.sandbox.running import signed_headers
from tests.sandbox.stepping import ORDERS, Answer, Steps, order

PATH = "/portfolio/orders"


@pytest.fixture
def steps() -> Steps:
    return Steps()


def with_headers(steps: Steps, **changes: str | None) -> Answer:
    """A read whose KALSHI-ACCESS-... headers were tampered with."""
    request = steps.request("GET", PATH)
    headers = dict(request.headers)
    for name, value in changes.items():
        headers[f"kalshi-access-{name}"] = value or ""
    return Answer(steps.exchange.handle(Request("GET", request.path, (), headers), steps.now_us))


def test_unsigned_private_requests_are_refused_and_public_ones_answered(steps: Steps) -> None:
    for method, path, status in (("GET", PATH, 401), ("POST", ORDERS, 401), ("GET", "/markets", 200)):
        assert steps.exchange.handle(Request(method, PREFIX + path), steps.now_us).status == status


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        (
            {"signature": None},
            {"code": "signature_is_missing_from_headers", "message": "signature is missing from headers"},
        ),
        (
            {"signature": "AAAA"},
            {
                "code": "authentication_error",
                "message": "authentication_error",
                "details": "INCORRECT_API_KEY_SIGNATURE",
            },
        ),
        (
            {"signature": "not base64!"},
            {
                "code": "authentication_error",
                "message": "authentication_error",
                "details": "INCORRECT_API_KEY_SIGNATURE",
            },
        ),
        (
            {"key": "nobody"},
            {"code": "authentication_error", "message": "authentication_error", "details": "NOT_FOUND"},
        ),
        ({"timestamp": "soon"}, {"code": "header_timestamp_expired", "message": "header timestamp expired"}),
    ],
)
def test_the_401_bodies_are_the_recorded_ones(steps: Steps, changes: dict[str, Any], body: dict[str, str]) -> None:
    answer = with_headers(steps, **changes)
    assert (answer.status, answer.json) == (401, {"error": body})


def test_a_signature_is_bound_to_method_path_and_time_but_not_to_query_and_body(steps: Steps) -> None:
    signed = steps.request("GET", PATH)
    handle = steps.exchange.handle
    assert handle(Request("GET", signed.path, (("limit", "5"),), signed.headers), steps.now_us).status == 200
    assert handle(Request("GET", PREFIX + "/portfolio/fills", (), signed.headers), steps.now_us).status == 401
    assert handle(Request("POST", signed.path, (), signed.headers), steps.now_us).status == 401
    later = {**signed.headers, "kalshi-access-timestamp": str(steps.now_us // 1000 + 1)}
    assert handle(Request("GET", signed.path, (), later), steps.now_us).status == 401


@pytest.mark.parametrize(("off_s", "status"), [(-10, 200), (-11, 401), (10, 200), (11, 401)])
def test_the_clock_may_be_ten_seconds_off_either_way(steps: Steps, off_s: int, status: int) -> None:
    assert steps.call("GET", PATH, signed_s=off_s).status == status


def test_the_skew_bound_can_be_changed(steps: Steps) -> None:
    steps.control(skew_s=30)
    assert steps.call("GET", PATH, signed_s=-29).status == 200


def test_a_refused_signature_does_nothing(steps: Steps) -> None:
    assert steps.call("POST", ORDERS, order(client_order_id="one"), signed_s=-60).status == 401
    assert steps.listed() == []


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_both_kinds_of_key_sign(steps: Steps, algorithm: str) -> None:
    pem = auth.new_private_pem(algorithm)
    key_id = steps.control(add_key={"private_pem": pem.decode()})["added_key_id"]
    headers = signed_headers(key_id, pem, "GET", PREFIX + PATH, steps.now_us // 1000)
    request = Request("GET", PREFIX + PATH, (), {name.lower(): value for name, value in headers.items()})
    assert steps.exchange.handle(request, steps.now_us).status == 200


def asked_with(steps: Steps, pem: bytes, key_id: str, method: str, path: str, body: Any = None, **query: Any) -> Answer:
    plain = steps.request(method, path, body, **query)
    headers = signed_headers(key_id, pem, method, plain.path, steps.now_us // 1000)
    request = Request(
        method, plain.path, plain.query, {name.lower(): value for name, value in headers.items()}, plain.body
    )
    return Answer(steps.exchange.handle(request, steps.now_us))


@pytest.mark.parametrize(
    ("scopes", "reads", "writes", "balance"),
    [
        (["read"], 200, 403, 200),
        (["write"], 403, 201, 403),
        (["write::trade"], 403, 201, 403),
        (["read::portfolio_balance"], 403, 403, 200),
        (["read", "write"], 200, 201, 200),
    ],
)
def test_a_key_does_only_what_its_scopes_say(
    steps: Steps, scopes: list[str], reads: int, writes: int, balance: int
) -> None:
    pem = auth.new_private_pem("ed25519")
    key_id = steps.control(add_key={"private_pem": pem.decode(), "scopes": scopes})["added_key_id"]
    assert asked_with(steps, pem, key_id, "GET", PATH).status == reads
    assert asked_with(steps, pem, key_id, "POST", ORDERS, order()).status == writes
    assert asked_with(steps, pem, key_id, "GET", "/portfolio/balance").status == balance


def test_a_key_locked_to_a_subaccount_sees_and_places_only_there(steps: Steps) -> None:
    pem = auth.new_private_pem("ed25519")
    key_id = steps.control(add_key={"private_pem": pem.decode(), "subaccount": 1})["added_key_id"]
    steps.create(client_order_id="primary")
    placed = asked_with(steps, pem, key_id, "POST", ORDERS, order(client_order_id="locked"))
    assert placed.status == 201
    assert asked_with(steps, pem, key_id, "POST", ORDERS, order(subaccount=0)).status == 403
    shown = asked_with(steps, pem, key_id, "GET", PATH).json["orders"]
    assert [(row["client_order_id"], row["subaccount_number"]) for row in shown] == [("locked", 1)]
    primary = steps.listed(subaccount=0)[0]["order_id"]
    assert asked_with(steps, pem, key_id, "GET", f"{PATH}/{primary}").status == 404
    locked = f"{ORDERS}/{placed.json['order_id']}"
    assert asked_with(steps, pem, key_id, "DELETE", locked, subaccount=0).status == 403
    assert asked_with(steps, pem, key_id, "DELETE", locked).status == 200


# ---- tokens


def burst(steps: Steps, count: int) -> list[int]:
    return [steps.create().status for _ in range(count)]


def test_a_bucket_empties_and_fills_again_and_a_refusal_costs_nothing() -> None:
    steps = Steps(tier="basic")
    assert burst(steps, 12) == [201] * 10 + [429] * 2
    steps.wait(99)
    assert burst(steps, 1) == [429]
    steps.wait(1)
    assert burst(steps, 2) == [201, 429]
    steps.wait(60_000)
    assert burst(steps, 11) == [201] * 10 + [429]


def test_a_429_has_its_own_shape_and_no_header_that_helps() -> None:
    steps = Steps(tier="basic")
    burst(steps, 10)
    answer = steps.create(client_order_id="one")
    assert (answer.status, answer.json) == (429, {"error": "too many requests"})
    assert {name for name, _ in answer.response.headers} == {"content-type", "date"}
    steps.wait(1000)
    assert steps.create(client_order_id="one").status == 201


def test_reads_writes_and_the_balance_have_separate_buckets() -> None:
    steps = Steps(tier="basic")
    burst(steps, 11)
    assert [steps.call("GET", PATH).status for _ in range(21)] == [200] * 20 + [429]
    assert [steps.call("GET", "/portfolio/balance").status for _ in range(2)] == [200, 429]
    steps.wait(1000)
    assert steps.call("GET", "/portfolio/balance").status == 200


def test_cancels_cost_two_tokens_and_batches_all_or_nothing() -> None:
    steps = Steps(tier="basic")
    made = steps.call("POST", f"{ORDERS}/batched", {"orders": [order() for _ in range(9)]}).json["orders"]
    answers = [steps.cancel(row["order_id"]).status for row in made[:6]]
    assert answers == [200] * 5 + [429]
    steps.wait(60)
    items = [{"order_id": row["order_id"]} for row in made[5:]]
    assert steps.call("DELETE", f"{ORDERS}/batched", {"orders": items}).status == 429
    steps.wait(20)
    assert steps.call("DELETE", f"{ORDERS}/batched", {"orders": items}).status == 200


def test_the_account_reports_its_limits() -> None:
    steps = Steps(tier="premier")
    limits = steps.get("/account/limits")
    assert limits["usage_tier"] == "premier"
    assert limits["read"] == {"refill_rate": 1000, "bucket_capacity": 1000}
    assert limits["write"] == {"refill_rate": 1000, "bucket_capacity": 2000}
    steps.control(tier="basic")
    assert steps.get("/account/limits")["write"] == {"refill_rate": 100, "bucket_capacity": 100}
    costs = {
        (row["method"], row["path"]): row["cost"] for row in steps.get("/account/endpoint_costs")["endpoint_costs"]
    }
    assert costs["DELETE", "/trade-api/v2/portfolio/events/orders/:order_id"] == 2
