"""Faults: which requests they hit, what the exchange did all the same, and what the client is told."""

import json
from typing import Any

import pytest

from oms.sandbox.accidents import PROXY_PAGE
from oms.sandbox.faults import KINDS, Faults, Subject, read_script
from oms.sandbox.wire import Form
from tests.sandbox.stepping import ORDERS, START_US, TICKER, Answer, Steps, order

SECOND = START_US // 1_000_000


def faulty(fault: Any, **match: Any) -> Steps:
    """An exchange with one rule, for creates unless the test says otherwise."""
    return Steps(faults=[{"match": {"operation": "CreateOrderV2", **match}, "fault": fault}])


def present(steps: Steps) -> list[str]:
    """The ids the exchange really has."""
    return [
        order.ticket.client_order_id for order in steps.exchange.state.accounts[steps.exchange.state.user_id].orders
    ]


# kind, extra fields, is it processed, (status, form) that the client meets
SUFFERED: list[tuple[str, dict[str, Any], bool, int, Form]] = [
    ("drop", {}, False, 0, Form.DROPPED),
    ("drop", {"commit": True}, True, 201, Form.DROPPED),
    ("drop", {"reset": True}, False, 0, Form.DROPPED),
    ("hang", {}, True, 201, Form.DROPPED),
    ("hang", {"commit": False, "ms": 10}, False, 0, Form.DROPPED),
    ("late", {"ms": 10}, False, 0, Form.DROPPED),
    ("duplicate", {"ms": 10}, True, 201, Form.WHOLE),
    ("delay", {"ms": 10}, True, 201, Form.WHOLE),
    ("error", {}, False, 503, Form.WHOLE),
    ("error", {"commit": True, "status": 500}, True, 500, Form.WHOLE),
    ("error", {"status": 408, "commit": True}, True, 408, Form.WHOLE),
    ("html", {}, False, 502, Form.WHOLE),
    ("html", {"commit": True, "status": 504}, True, 504, Form.WHOLE),
    ("answer", {"status": 200, "body": '{"message":"ok"}'}, False, 200, Form.WHOLE),
    ("redirect", {"body": "http://example.com/"}, False, 307, Form.WHOLE),
    ("status", {"status": 202}, True, 202, Form.WHOLE),
    ("status", {"status": 204}, True, 204, Form.WHOLE),
    ("empty", {}, True, 201, Form.WHOLE),
    ("not_json", {}, True, 201, Form.WHOLE),
    ("other_client_order_id", {}, True, 201, Form.WHOLE),
    ("other_order_id", {}, True, 201, Form.WHOLE),
    ("nulls", {}, True, 201, Form.WHOLE),
    ("no_client_order_id", {}, True, 201, Form.WHOLE),
    ("no_order_id", {}, True, 201, Form.WHOLE),
    ("cut_body", {}, True, 201, Form.CUT_BODY),
    ("cut_body", {"commit": False}, False, 0, Form.DROPPED),
    ("cut_headers", {}, True, 201, Form.CUT_HEADERS),
    ("trickle", {"ms": 1}, True, 201, Form.TRICKLED),
    ("rate_limited", {}, False, 429, Form.WHOLE),
    ("clock", {}, False, 401, Form.WHOLE),
    ("paused", {}, False, 409, Form.WHOLE),
    ("paused", {"what": "exchange"}, False, 409, Form.WHOLE),
    ("forbidden", {}, False, 403, Form.WHOLE),
    ("not_found", {}, False, 404, Form.WHOLE),
    ("gone", {}, False, 410, Form.WHOLE),
    ("stale", {"ms": 10}, True, 201, Form.WHOLE),
    ("empty_list", {}, True, 201, Form.WHOLE),
    ("repeat_cursor", {}, True, 201, Form.WHOLE),
    ("reorder", {}, True, 201, Form.WHOLE),
    ("omit_items", {}, True, 201, Form.WHOLE),
]


@pytest.mark.parametrize(("kind", "fields", "is_processed", "status", "form"), SUFFERED)
def test_every_fault_does_what_its_row_says_on_its_side_of_the_commit(
    kind: str, fields: dict[str, Any], is_processed: bool, status: int, form: Form
) -> None:
    steps = faulty({"kind": kind, **fields})
    answer = steps.create(client_order_id="one")
    assert (answer.status, answer.response.delivery.form) == (status, form)
    assert present(steps) == (["one"] if is_processed else [])
    (row,) = steps.log()
    assert (row["committed"], json.loads(row["fault"])["kind"]) == (int(is_processed), kind)
    assert steps.create(client_order_id="two").status == 201


def test_every_kind_has_a_row() -> None:
    assert {row[0] for row in SUFFERED} == set(KINDS)


def test_a_lost_answer_was_an_order_and_its_repeat_meets_the_409() -> None:
    steps = faulty({"kind": "drop", "commit": True})
    steps.create(client_order_id="one")
    assert steps.create(client_order_id="one").code == "order_already_exists"


def test_falsified_answers_differ_only_in_what_they_falsify() -> None:
    for kind, field in (("other_client_order_id", "client_order_id"), ("no_order_id", "order_id")):
        answer = faulty(kind).create(client_order_id="one").json
        assert answer["remaining_count"] == "1.00"
        assert answer.get(field) != "one"
        assert (field in answer) == (kind == "other_client_order_id")
    assert "client_order_id" not in faulty("no_client_order_id").create(client_order_id="one").json


def test_another_orders_answer_and_nulls_for_what_may_be_left_out() -> None:
    steps = faulty("other_order_id")
    answer = steps.create(client_order_id="one").json
    assert answer["order_id"] != steps.listed()[0]["order_id"]
    answer = faulty("nulls").create().json
    assert answer["client_order_id"] is answer["average_fill_price"] is None
    assert answer["remaining_count"] == "1.00"
    steps = Steps(faults=[{"match": {"method": "GET", "times": None}, "fault": "nulls"}])
    for name in ("fills", "orders", "settlements"):
        assert steps.get(f"/portfolio/{name}") == {name: None, "cursor": ""}
    steps = Steps(faults=[{"match": {"operation": "AmendOrderV2"}, "fault": "nulls"}])
    order_id = steps.create().json["order_id"]
    amend = {"ticker": TICKER, "side": "bid", "price": "0.0100", "count": "1.00"}
    answer = steps.call("POST", f"{ORDERS}/{order_id}/amend", amend).json
    assert answer["remaining_count"] is answer["fill_count"] is None


def test_pages_of_proxies_and_bodies_of_scripts_come_as_they_are() -> None:
    assert faulty("html").create().response.body == PROXY_PAGE
    answer = faulty({"kind": "answer", "status": 418, "body": "\ufeffNaN", "headers": {"x-from": "script"}}).create()
    assert (answer.status, answer.response.body.decode()) == (418, "\ufeffNaN")
    assert ("x-from", "script") in answer.response.headers
    assert ("location", "http://example.com/") in faulty(
        {"kind": "redirect", "body": "http://example.com/"}
    ).create().response.headers


def test_a_cut_body_promises_more_than_it_keeps() -> None:
    answer = faulty({"kind": "cut_body", "keep": 3}).create()
    assert answer.response.delivery.keep_bytes == 3
    assert len(answer.response.body) > 3


# ---- late arrivals


def test_a_late_original_arrives_by_the_exchanges_clock() -> None:
    steps = faulty({"kind": "late", "ms": 3_000})
    steps.create(client_order_id="one")
    steps.wait(2_999)
    assert steps.listed() == []
    steps.wait(1)
    (arrived,) = steps.listed()
    assert arrived["created_time"] == "2026-09-21T14:13:23.000000Z"
    first, _, arrival, _ = steps.log()
    assert (first["status"], first["committed"], first["arrival_of"]) == (None, 0, None)
    assert (arrival["status"], arrival["committed"], arrival["arrival_of"]) == (201, 1, first["seq"])


def test_a_late_original_after_its_repeat_gets_the_409() -> None:
    steps = faulty({"kind": "late", "ms": 3_000})
    steps.create(client_order_id="one")
    steps.wait(1_000)
    assert steps.create(client_order_id="one").status == 201
    steps.wait(60_000)
    assert [row["client_order_id"] for row in steps.listed()] == ["one"]
    assert [row["status"] for row in steps.log() if row["arrival_of"]] == [409]


def test_a_late_original_beyond_the_skew_bound_is_refused() -> None:
    steps = faulty({"kind": "late", "ms": 10_001})
    steps.create(client_order_id="one")
    steps.wait(60_000)
    assert steps.listed() == []
    assert [row["status"] for row in steps.log() if row["arrival_of"]] == [401]


def test_a_late_original_becomes_a_second_order_where_ids_are_freed_at_the_end() -> None:
    steps = faulty({"kind": "late", "ms": 3_000})
    steps.control(dedupe="open_only")
    steps.create(client_order_id="one")
    repeated = steps.create(client_order_id="one").json["order_id"]
    steps.cancel(repeated)
    steps.wait(5_000)
    assert [row["status"] for row in steps.listed()] == ["resting", "canceled"]


def test_a_duplicated_request_meets_itself() -> None:
    steps = faulty({"kind": "duplicate", "ms": 5})
    assert steps.create(client_order_id="one").status == 201
    steps.wait(5)
    steps.listed()
    assert [row["status"] for row in steps.log() if row["arrival_of"]] == [409]


def test_a_late_cancel_arrives_too() -> None:
    steps = Steps(faults=[{"match": {"method": "DELETE"}, "fault": {"kind": "late", "ms": 500}}])
    steps.cancel(steps.create().json["order_id"])
    assert steps.listed()[0]["status"] == "resting"
    steps.wait(500)
    assert steps.listed()[0]["status"] == "canceled"


# ---- reads that lie


def test_a_stale_cancel_is_acknowledged_but_rests_in_reads_and_the_watermark_says_so() -> None:
    steps = Steps(faults=[{"match": {"operation": "CancelOrderV2"}, "fault": {"kind": "stale", "ms": 400}}])
    order_id = steps.create().json["order_id"]
    steps.wait(1_000)
    assert steps.cancel(order_id).status == 200
    assert steps.cancel(order_id).status == 404
    steps.wait(360)
    assert steps.listed()[0]["status"] == "resting"
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["status"] == "resting"
    assert steps.get("/exchange/user_data_timestamp")["as_of_time"] < "2026-09-21T14:13:21.000000Z"
    steps.wait(40)
    assert steps.listed()[0]["status"] == "canceled"
    assert steps.get("/exchange/user_data_timestamp")["as_of_time"] == "2026-09-21T14:13:21.400000Z"


def listing_fault(kind: str, **match: Any) -> Steps:
    steps = Steps(faults=[{"match": {"operation": "GetOrders", **match}, "fault": kind}])
    for number in range(3):
        steps.create(client_order_id=f"n{number}")
    return steps


def test_an_empty_listing_hides_what_is_there() -> None:
    steps = listing_fault("empty_list")
    assert steps.get("/portfolio/orders") == {"orders": [], "cursor": ""}
    assert len(steps.listed()) == 3


def test_a_repeated_cursor_leads_round_in_a_circle() -> None:
    steps = listing_fault("repeat_cursor", times=None)
    first = steps.get("/portfolio/orders", limit=2)
    again = steps.get("/portfolio/orders", limit=2, cursor=first["cursor"])
    assert again["cursor"] == first["cursor"]
    whole = steps.get("/portfolio/orders")
    assert steps.get("/portfolio/orders", cursor=whole["cursor"]) == whole


def batch(steps: Steps) -> Answer:
    return steps.call("POST", f"{ORDERS}/batched", {"orders": [order(client_order_id=name) for name in "abc"]})


def test_batch_answers_come_reordered_or_with_items_missing() -> None:
    def ids(fault: Any) -> list[str]:
        steps = Steps(faults=[{"match": {"operation": "BatchCreateOrdersV2"}, "fault": fault}])
        answered = [row["client_order_id"] for row in batch(steps).json["orders"]]
        assert present(steps) == ["a", "b", "c"]
        return answered

    assert ids("reorder") == ["c", "b", "a"]
    assert ids({"kind": "omit_items", "keep": 1}) == ["a"]
    assert ids("omit_items") == []
    assert len(set(ids("other_client_order_id"))) == 1


# ---- matching


def hit(match: dict[str, Any], requests: list[tuple[str, str, dict[str, Any] | None]]) -> list[int]:
    """Which of the requests meet the rule."""
    steps = Steps(faults=[{"match": match, "fault": "rate_limited"}])
    return [
        number for number, (method, path, body) in enumerate(requests) if steps.call(method, path, body).status == 429
    ]


CREATES = [("POST", ORDERS, order(client_order_id=name)) for name in ("x-1", "y-1", "x-2", "x-3")]


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({}, [0]),
        ({"times": None}, [0, 1, 2, 3]),
        ({"nth": 2}, [1]),
        ({"nth": 2, "times": 2}, [1, 2]),
        ({"nth": 3, "times": None}, [2, 3]),
        ({"method": "POST"}, [0]),
        ({"method": "GET"}, []),
        ({"path": "/events/orders$"}, [0]),
        ({"path": "/batched"}, []),
        ({"operation": "CreateOrderV2"}, [0]),
        ({"ticker": TICKER}, [0]),
        ({"ticker": "OTHER"}, []),
        ({"client_order_id": "^x"}, [0]),
        ({"client_order_id": "^x", "nth": 2}, [2]),
        ({"client_order_id": "-3$"}, [3]),
    ],
)
def test_a_rule_hits_the_requests_it_matches(match: dict[str, Any], hits: list[int]) -> None:
    assert hit(match, list(CREATES)) == hits


def test_a_rule_looks_into_batches() -> None:
    body = {"orders": [order(client_order_id="a"), order(client_order_id="b")]}
    assert hit({"client_order_id": "^b$"}, [("POST", f"{ORDERS}/batched", body)]) == [0]


def test_the_first_rule_that_hits_wins_and_each_counts_for_itself() -> None:
    steps = Steps(faults=[{"match": {"client_order_id": "b"}, "fault": "gone"}, {"fault": "forbidden"}])
    assert [steps.create(client_order_id=name).status for name in ("a", "b", "c")] == [403, 410, 201]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("{", "not JSON"),
        ("{}", "a JSON list"),
        ('[{"fault":"explode"}]', "fault rule 1: no fault is called 'explode'"),
        ('[{"fault":"drop"},{"match":{"nht":1},"fault":"drop"}]', "fault rule 2: .*nht"),
        ('[{"fault":{"kind":"drop","when":1}}]', "when"),
        ('[{"match":{"path":"("},"fault":"drop"}]', "fault rule 1"),
        ('[{"match":{"operation":"Create"},"fault":"drop"}]', "no operation is called 'Create'"),
        ("[{}]", "fault"),
    ],
)
def test_a_wrong_script_is_refused_by_name(script: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_script(script)


# ---- by seed


def subject(number: int, method: str = "POST") -> Subject:
    return Subject(method, "/trade-api/v2/portfolio/events/orders", "CreateOrderV2", (f"n{number}",), (), "")


def drawn(seed: str, order_of_asking: list[int]) -> dict[int, str]:
    faults = Faults([], 0.3, seed)
    found = {number: faults.draw(subject(number)) for number in order_of_asking}
    return {number: fault.kind for number, fault in sorted(found.items()) if fault is not None}


def test_faults_by_seed_depend_on_what_is_asked_not_on_when() -> None:
    forwards = drawn("7", list(range(200)))
    assert forwards == drawn("7", list(range(199, -1, -1)))
    assert forwards != drawn("8", list(range(200)))
    assert 30 <= len(forwards) <= 90
    assert len(set(forwards.values())) > 8


def test_a_repeat_of_the_same_request_draws_anew() -> None:
    faults = Faults([], 0.5, "1")
    kinds = {None if fault is None else fault.kind for fault in (faults.draw(subject(1)) for _ in range(40))}
    assert len(kinds) > 4
    assert None in kinds


def test_a_rate_of_one_hits_every_private_request_and_no_public_one() -> None:
    steps = Steps()
    steps.control(seed_faults={"rate": 1, "seed": "3"})
    assert steps.get("/exchange/status")["trading_active"]
    for number in range(20):
        steps.create(client_order_id=f"n{number}")
    assert all(row["fault"] for row in steps.log()[1:])
