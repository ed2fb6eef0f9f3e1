"""Every write meets every kind of fault: what the client is told, and on which side of it the exchange changed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from oms.sandbox.wire import Form
from tests.sandbox.stepping import ORDERS, TICKER, Answer, Steps


class Write(NamedTuple):
    """A write to the one resting order of five at two cents, and (status, remaining, price) once it took effect."""

    operation: str
    send: Callable[[Steps, str], Answer]
    effect: tuple[str, str, str]
    again: int  # the status of its repeat after it took effect


AMENDED = {"ticker": TICKER, "side": "bid", "price": "0.0300", "count": "7.00"}
WRITES = [
    Write(
        "AmendOrderV2",
        lambda steps, order_id: steps.call("POST", f"{ORDERS}/{order_id}/amend", AMENDED),
        ("resting", "7.00", "0.0300"),
        200,
    ),
    Write(
        "DecreaseOrderV2",
        lambda steps, order_id: steps.call("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_to": "2.00"}),
        ("resting", "2.00", "0.0200"),
        200,
    ),
    Write(
        "CancelOrderV2",
        lambda steps, order_id: steps.cancel(order_id),
        ("canceled", "0.00", "0.0200"),
        404,
    ),
    Write(
        "BatchCancelOrdersV2",
        lambda steps, order_id: steps.call("DELETE", f"{ORDERS}/batched", {"orders": [{"order_id": order_id}]}),
        ("canceled", "0.00", "0.0200"),
        200,
    ),
    Write(
        "CancelAllOrdersV2",
        lambda steps, order_id: steps.call("DELETE", ORDERS),
        ("canceled", "0.00", "0.0200"),
        204,
    ),
]
BEFORE = ("resting", "5.00", "0.0200")


def meeting(write: Write, fault: Any) -> tuple[Steps, str]:
    steps = Steps(faults=[{"match": {"operation": write.operation}, "fault": fault}])
    order_id = steps.create(price="0.0200", count="5.00").json["order_id"]
    steps.wait(1_000)
    return steps, order_id


def shown(steps: Steps) -> tuple[str, str, str]:
    (row,) = steps.listed()
    return row["status"], row["remaining_count_fp"], row["yes_price_dollars"]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
@pytest.mark.parametrize(
    ("fault", "status", "is_done"),
    [
        ("drop", None, False),
        ({"kind": "drop", "commit": True}, None, True),
        ("hang", None, True),
        ("error", 503, False),
        ({"kind": "error", "status": 500, "commit": True}, 500, True),
        ({"kind": "error", "status": 408, "commit": True}, 408, True),
        ({"kind": "html", "commit": True}, 502, True),
        ("rate_limited", 429, False),
        ("clock", 401, False),
        ("not_found", 404, False),
        ({"kind": "paused", "what": "exchange"}, 409, False),
        ("empty", 200, True),
        ({"kind": "delay", "ms": 300}, 200, True),
    ],
    ids=str,
)
def test_a_fault_changes_the_answer_and_only_what_commits_changes_the_order(
    write: Write, fault: Any, status: int | None, is_done: bool
) -> None:
    steps, order_id = meeting(write, fault)
    answer = write.send(steps, order_id)
    if status is None:
        assert answer.response.delivery.form is Form.DROPPED
    else:
        assert answer.status == (204 if status == 200 and write.operation == "CancelAllOrdersV2" else status)
    assert shown(steps) == (write.effect if is_done else BEFORE)
    assert [bool(row["committed"]) for row in steps.log() if row["operation"] == write.operation] == [is_done]
    # A repeat settles it, whichever side it went wrong on.
    assert write.send(steps, order_id).status == (write.again if is_done else {404: 200}.get(write.again, write.again))
    assert shown(steps) == write.effect


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
def test_a_late_write_takes_effect_when_it_arrives(write: Write) -> None:
    steps, order_id = meeting(write, {"kind": "late", "ms": 700})
    assert write.send(steps, order_id).response.delivery.form is Form.DROPPED
    steps.wait(699)
    assert shown(steps) == BEFORE
    steps.wait(1)
    assert shown(steps) == write.effect


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
def test_a_stale_write_is_acknowledged_and_reads_show_what_was_before(write: Write) -> None:
    steps, order_id = meeting(write, {"kind": "stale", "ms": 800})
    assert write.send(steps, order_id).status in (200, 204)
    steps.wait(799)
    assert shown(steps) == BEFORE
    assert steps.get(f"/portfolio/orders/{order_id}")["order"]["remaining_count_fp"] == "5.00"
    assert steps.get("/exchange/user_data_timestamp")["as_of_time"] < "2026-09-21T14:13:21.000000Z"
    steps.wait(1)
    assert shown(steps) == write.effect


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
def test_a_doubled_write_finds_its_own_work(write: Write) -> None:
    steps, order_id = meeting(write, {"kind": "duplicate", "ms": 5})
    write.send(steps, order_id)
    steps.wait(5)
    assert shown(steps) == write.effect
    assert [row["status"] for row in steps.log() if row["arrival_of"]] == [write.again]


def test_a_doubled_decrease_by_an_amount_takes_it_off_twice() -> None:
    steps, order_id = meeting(WRITES[1], {"kind": "duplicate", "ms": 5})
    steps.call("POST", f"{ORDERS}/{order_id}/decrease", {"reduce_by": "2.00"})
    steps.wait(5)
    assert shown(steps) == ("resting", "1.00", "0.0200")


def test_a_fill_between_two_copies_of_an_amend_shifts_what_its_total_means() -> None:
    steps, order_id = meeting(WRITES[0], {"kind": "late", "ms": 700})
    amend = {**AMENDED, "price": "0.0200", "count": "4.00"}
    steps.call("POST", f"{ORDERS}/{order_id}/amend", amend)
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "3.00"})
    steps.wait(700)
    assert shown(steps) == ("resting", "1.00", "0.0200")
    steps.control(trade={"ticker": TICKER, "side": "ask", "price": "0.0200", "count": "1.00"})
    assert steps.call("POST", f"{ORDERS}/{order_id}/amend", amend).status == 404


@pytest.mark.parametrize(("operation", "ticker", "hits"), [("CancelOrderV2", TICKER, 1), ("CancelOrderV2", "X", 0)])
def test_a_rule_finds_a_cancel_by_the_market_it_names(operation: str, ticker: str, hits: int) -> None:
    steps = Steps(faults=[{"match": {"operation": operation, "ticker": ticker}, "fault": "rate_limited"}])
    answers = [steps.cancel(steps.create().json["order_id"]).status for _ in range(2)]
    assert answers.count(429) == hits
