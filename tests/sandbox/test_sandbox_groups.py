"""Order groups: their requests, and the limit on what matches within 15 seconds."""

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.stepping import SPORTS, TICKER, Answer, Steps

GROUPS = "/portfolio/order_groups"
EXCEEDED = "EXCEEDED_ORDER_GROUP_RISK_LIMIT"


@pytest.fixture
def steps() -> Steps:
    return Steps()


def made(steps: Steps, **body: Any) -> str:
    answer = steps.call("POST", f"{GROUPS}/create", {"contracts_limit": 5, **body})
    assert answer.status == 201, answer
    return str(answer.json["order_group_id"])


def put(steps: Steps, group: str, verb: str, body: Any = None, **query: Any) -> Answer:
    return steps.call("PUT", f"{GROUPS}/{group}/{verb}", {} if body is None else body, **query)


def placed(steps: Steps, group: str, **changes: Any) -> str:
    answer = steps.create(**{"price": "0.0300", "count": "4.00", "order_group_id": group, **changes})
    assert answer.status == 201, answer
    return str(answer.json["order_id"])


def fill(steps: Steps, count: str, name: str | None = None) -> None:
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0300", "count": count, "client_order_id": name})


def resting(steps: Steps) -> int:
    return len(steps.listed(status="resting"))


def test_a_group_is_created_listed_read_and_deleted(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    answer = steps.call("POST", f"{GROUPS}/create", {"contracts_limit": 5})
    group = answer.json["order_group_id"]
    assert answer.json == {"order_group_id": group, "subaccount": 0, "exchange_index": 0}
    order_id = placed(steps, group)
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["order_group_id"] == group
    shown = {"contracts_limit_fp": "5.00", "is_auto_cancel_enabled": False, "exchange_index": 0}
    for _ in range(2):
        assert steps.get(GROUPS) == {"order_groups": [{"id": group, **shown}]}
        assert steps.get(f"{GROUPS}/{group}") == {**shown, "orders": [order_id]}
        steps.reopen()
    assert steps.call("DELETE", f"{GROUPS}/{group}").json == {}
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["status"] == "canceled"
    steps.reopen()
    assert steps.get(GROUPS) == {"order_groups": []}
    assert steps.call("GET", f"{GROUPS}/{group}").status == 404
    assert steps.create(order_group_id=group).code == "ORDER_GROUP_NOT_FOUND"


def test_an_order_without_a_group_names_none(steps: Steps) -> None:
    steps.create()
    assert steps.listed()[0]["order_group_id"] is None


def test_triggered_a_group_cancels_its_orders_and_takes_none_until_reset(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "exchange.sqlite3")
    group = made(steps)
    placed(steps, group)
    placed(steps, group, ticker=TICKER, price="0.0100")
    steps.create(client_order_id="outside")
    assert put(steps, group, "trigger").json == {}
    assert [row["client_order_id"] for row in steps.listed(status="resting")] == ["outside"]
    steps.reopen()
    assert steps.get(f"{GROUPS}/{group}")["is_auto_cancel_enabled"] is True
    refused = steps.create(order_group_id=group, client_order_id="refused")
    assert (refused.status, refused.code) == (400, EXCEEDED)
    assert put(steps, group, "reset").status == 200
    assert steps.get(f"{GROUPS}/{group}")["is_auto_cancel_enabled"] is False
    assert steps.create(order_group_id=group, client_order_id="refused").status == 201


def test_the_limit_counts_what_matched_within_fifteen_seconds(steps: Steps) -> None:
    group = made(steps, contracts_limit=5)
    for name in "ab":
        placed(steps, group, client_order_id=name)
    fill(steps, "3.00", "a")
    steps.wait(14_999)
    fill(steps, "1.99", "b")
    assert resting(steps) == 2
    steps.wait(1)  # the first fill left the window
    fill(steps, "1.00", "a")
    assert resting(steps) == 1
    fill(steps, "2.01", "b")
    assert resting(steps) == 0
    assert steps.get(f"{GROUPS}/{group}")["is_auto_cancel_enabled"] is True


def test_a_crossing_order_counts_and_its_remainder_goes_with_the_group(steps: Steps) -> None:
    group = made(steps, contracts_limit=1)
    other = placed(steps, group)
    best, size = steps.best()[1], steps.get(f"/markets/{TICKER}")["market"]["yes_ask_size_fp"]
    answer = steps.create(price=best, count="9000.00", order_group_id=group)
    assert (answer.json["fill_count"], answer.json["remaining_count"]) == (size, "0.00")
    assert steps.get(f"/portfolio/orders/{other}")["order"]["status"] == "canceled"
    assert steps.create(order_group_id=group).code == EXCEEDED


def test_reset_forgets_what_matched(steps: Steps) -> None:
    group = made(steps)
    placed(steps, group, count="9.00")
    fill(steps, "4.00")
    put(steps, group, "reset")
    fill(steps, "4.00")
    assert resting(steps) == 1


def test_a_lower_limit_triggers_at_once_if_as_many_matched(steps: Steps) -> None:
    group = made(steps)
    placed(steps, group)
    fill(steps, "2.00")
    assert put(steps, group, "limit", {"contracts_limit_fp": "2.01"}).json == {}
    assert resting(steps) == 1
    assert put(steps, group, "limit", {"contracts_limit": 2, "contracts_limit_fp": "2.00"}).status == 200
    assert resting(steps) == 0
    assert steps.get(f"{GROUPS}/{group}")["contracts_limit_fp"] == "2.00"


def test_a_late_fill_counts_too(steps: Steps) -> None:
    group = made(steps, contracts_limit=2)
    first = placed(steps, group)
    placed(steps, group)
    steps.cancel(first)
    steps.control(late_fill={"order": first, "count": "2.00"})
    assert resting(steps) == 0


def test_a_group_belongs_to_one_shard_and_subaccount(steps: Steps) -> None:
    group, elsewhere = made(steps), made(steps, exchange_index=1, subaccount=1)
    assert steps.create(order_group_id=group, ticker=SPORTS).code == "ORDER_GROUP_NOT_FOUND"
    assert steps.create(order_group_id=group, subaccount=1).code == "ORDER_GROUP_NOT_FOUND"
    steps.control(balance={"dollars": "100.00", "subaccount": 1, "exchange_index": 1})
    assert steps.create(order_group_id=elsewhere, ticker=SPORTS, subaccount=1).status == 201
    assert len(steps.get(GROUPS)["order_groups"]) == 2
    assert [row["id"] for row in steps.get(GROUPS, subaccount=1)["order_groups"]] == [elsewhere]
    assert steps.get(f"{GROUPS}/{elsewhere}")["exchange_index"] == 1
    for query in ({}, {"subaccount": 1}, {"exchange_index": 1}):
        assert put(steps, elsewhere, "trigger", **query).status == 404
    assert put(steps, elsewhere, "trigger", subaccount=1, exchange_index=1).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contracts_limit": 0},
        {"contracts_limit": "5"},
        {"contracts_limit_fp": "x"},
        {"contracts_limit": 5, "contracts_limit_fp": "5.01"},
        {"contracts_limit": 5, "exchange_index": 9},
        {"contracts_limit": 5, "subaccount": 64},
    ],
    ids=str,
)
def test_a_bad_group_is_refused(steps: Steps, body: dict[str, Any]) -> None:
    assert steps.call("POST", f"{GROUPS}/create", body).status == 400
    assert steps.get(GROUPS)["order_groups"] == []


@pytest.mark.parametrize("verb", ["trigger", "reset", "limit"])
def test_an_unknown_group_is_not_found(steps: Steps, verb: str) -> None:
    assert put(steps, "nothing", verb, {"contracts_limit": 1}).status == 404
    assert steps.call("DELETE", f"{GROUPS}/nothing").status == 404


def test_a_put_may_come_without_a_body(steps: Steps) -> None:
    group = made(steps)
    assert steps.call("PUT", f"{GROUPS}/{group}/trigger").status == 200
    assert steps.call("PUT", f"{GROUPS}/{group}/reset").status == 200
    assert steps.call("PUT", f"{GROUPS}/{group}/limit").status == 400


@pytest.mark.parametrize(("commit", "count"), [(False, 0), (True, 1)])
def test_a_dropped_create_leaves_a_group_or_not(commit: bool, count: int) -> None:
    fault = {"kind": "drop", "commit": commit}
    steps = Steps(faults=[{"match": {"operation": "CreateOrderGroup"}, "fault": fault}])
    steps.call("POST", f"{GROUPS}/create", {"contracts_limit": 5})
    assert len(steps.get(GROUPS)["order_groups"]) == count
