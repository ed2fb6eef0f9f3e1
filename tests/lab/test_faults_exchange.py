"""Faults of the exchange's behavior: what it does between a request and the look at it, refusals, closed markets."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.worlds import TICKER, World, fault, row
from tests.lab.between import Carry, between, is_create
from tests.venue.hostile import Conn, Seen

pytestmark = pytest.mark.slow

SINGLY = {"submit__concurrency": 1}


def answer(code: str, **more: Any) -> dict[str, Any]:
    return fault("answer", status=400, body=f'{{"error":{{"code":"{code}","message":"no"}}}}', **more)


def executed(world: World, order: dict[str, Any]) -> None:
    trade(world, order, "3")


def canceled(world: World, order: dict[str, Any]) -> None:
    path = f"/portfolio/events/orders/{order['order_id']}"
    assert world.sandbox.call("DELETE", path, market_ticker=order["ticker"]).status_code == 200


def partly_filled_and_canceled(world: World, order: dict[str, Any]) -> None:
    trade(world, order, "1.25")
    canceled(world, order)


def expired(world: World, order: dict[str, Any]) -> None:
    while time.time() < order["expiration_time"] + 0.3:
        time.sleep(0.05)
    world.sandbox.control()


def trade(world: World, order: dict[str, Any], count: str) -> None:
    given = {"ticker": order["ticker"], "side": "ask", "price": "0.01", "count": count}
    world.sandbox.control(trade={**given, "client_order_id": order["client_order_id"]})


MEANWHILE = {
    executed: ("executed", "3.00"),
    canceled: ("canceled", "0.00"),
    partly_filled_and_canceled: ("canceled", "1.25"),
    expired: ("canceled", "0.00"),
}


@pytest.mark.fault(62, 63)
@pytest.mark.parametrize("happens", MEANWHILE, ids=lambda happens: happens.__name__)
def test_what_happens_to_an_order_before_its_lost_answer_is_looked_for_is_known(
    own_world: World, happens: Callable[[World, dict[str, Any]], None]
) -> None:
    status, filled = MEANWHILE[happens]
    given = {"expiration_time": int(time.time()) + 2} if happens is expired else {}

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        answer = carry(seen)
        if not is_create(seen):
            return answer
        happens(own_world, own_world.sandbox.orders()[-1] | given)
        return None

    with between(own_world.sandbox, act) as server:
        settings = {"venue__sandbox__base_url": server.base_url, "venue__timeout_s": 5}
        run = own_world.submit([row(count="3", **given)], **settings)
    assert run.exit_code == 0, run.report
    with own_world.opened() as oms:
        oms.reconcile()
        assert oms.reconcile().fills == 0
    order = own_world.order(run.orders[0].client_order_id)
    assert (order.status, order.fill_count) == (status, filled)
    assert own_world.book([order]) == [status]
    assert len(own_world.sent()) == 1


@pytest.mark.fault(49, 71)
@pytest.mark.parametrize("code", ["insufficient_balance", "exceeded_per_market_risk_limit", "some_new_code"])
def test_a_refusal_of_the_second_attempt_does_not_reject_what_the_first_has_placed(world: World, code: str) -> None:
    world.faults(fault("drop", commit=True), answer(code))
    run = world.submit([row()], submit__resend="at_once")
    assert run.exit_code == 0, run.report
    assert (run.statuses, run.states) == (["resting"], ["accepted"])
    assert run.book() == ["resting"]


@pytest.mark.fault(49, 71)
def test_a_refusal_of_the_second_attempt_rejects_when_the_first_is_proven_absent(world: World) -> None:
    world.faults(fault("drop"), answer("insufficient_balance"))
    run = world.submit([row()])
    assert run.exit_code == 5, run.report
    assert (run.statuses, run.orders[0].reason) == (["rejected"], "refused")
    assert run.book() == [None]


@pytest.mark.fault(66)
@pytest.mark.parametrize("status", ["closed", "settled"])
def test_a_market_that_closes_in_mid_batch_ends_its_orders_and_leaves_the_others(own_world: World, status: str) -> None:
    first = own_world.submit([row(), row(ticker="SBXTEMP-A-T10")])
    assert first.statuses == ["resting", "resting"]
    own_world.sandbox.control(market={"ticker": TICKER, "status": status})
    second = own_world.submit([row(), row(ticker="SBXTEMP-A-T10")])
    assert second.exit_code == 5, second.report
    assert second.statuses == ["rejected", "resting"]
    assert second.book() == [None, "resting"]
    with own_world.opened() as oms:
        assert oms.reconcile().breaks == ()
    there = own_world.book(first.orders)
    assert [own_world.order(order.client_order_id).status for order in first.orders] == there
    assert there[1] == "resting"


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("yields", "statuses"), [("taker_at_cross", ["resting", "canceled"]), ("maker", ["canceled", "resting"])]
)
def test_an_order_that_meets_our_own_ends_as_the_exchange_says(
    own_world: World, yields: str, statuses: list[str]
) -> None:
    market = own_world.sandbox.call("GET", "/markets/SBXCOIN-A-T10").json()["market"]
    best, offered = (round(float(market[name]) * 100) for name in ("yes_bid_dollars", "yes_ask_dollars"))
    assert best + 1 < offered
    at = {"ticker": "SBXCOIN-A-T10", "action": None, "price": f"0.{best + 1:02}", "count": "2"}
    with own_world.opened() as oms:
        first = oms.submit([row(**at, side="bid")])
        second = oms.submit([row(**at, side="ask", self_trade_prevention_type=yields)])
        oms.reconcile()
        orders = [oms.order(each.client_order_id) for report in (first, second) for each in oms.run_orders(report)]
    assert [order.status for order in orders] == own_world.book(orders) == statuses
    assert {order.fill_count for order in orders} == {"0.00"}


@pytest.mark.fault(67)
def test_a_killed_fill_or_kill_is_rejected_and_its_id_is_never_used_again(world: World) -> None:
    killed = row(time_in_force="fill_or_kill", count="9", price="0.01")
    run = world.submit([killed])
    assert (run.exit_code, run.statuses, run.book()) == (5, ["rejected"], [None])
    before = len(world.sent())
    again = world.submit([killed], name=run.report.batch)
    assert again.statuses == ["rejected"]
    assert len(world.sent()) == before
    with world.opened() as oms:
        retried = oms.retry(str(run.report.batch))
        (order,) = oms.run_orders(retried)
    assert order.client_order_id != run.orders[0].client_order_id


@pytest.mark.fault(67)
def test_a_post_only_order_that_would_cross_is_refused_and_nothing_is_traded(world: World) -> None:
    run = world.submit([row(price="0.98", post_only=True)])
    assert (run.exit_code, run.statuses, run.book()) == (5, ["rejected"], [None])
