"""Orders that end without anybody here asking for it, each by the reason that fits."""

import time
from collections.abc import Callable

import pytest

from tests.contract.worlds import TICKER, World, row

OTHER = "SBXRAIN-A-T20"


def expires(world: World, order_id: str) -> None:
    world.sandbox.control(clock_offset_ms=0)
    while world.sandbox.call("GET", f"/portfolio/orders/{order_id}").json()["order"]["status"] == "resting":
        pass


def closes(world: World, order_id: str) -> None:
    world.sandbox.control(market={"ticker": TICKER, "status": "closed"})


def settles(world: World, order_id: str) -> None:
    world.sandbox.control(market={"ticker": TICKER, "status": "settled", "result": "no"})


def meets_another_of_ours(world: World, order_id: str) -> None:
    world.sandbox.control(quote={"ticker": TICKER, "side": "bid", "price": "0.0100", "count": "1.00"})
    world.submit([row(action="sell", price="0.01", count="500000", self_trade_prevention_type="maker")])


def somebody_cancels(world: World, order_id: str) -> None:
    world.sandbox.call("DELETE", f"/portfolio/events/orders/{order_id}", market_ticker=TICKER)


def somebody_cancels_and_later_it_closes(world: World, order_id: str) -> None:
    somebody_cancels(world, order_id)
    ended_s = time.time()
    while time.time() < ended_s + 2.1:
        world.sandbox.control()
    closes(world, order_id)


@pytest.mark.parametrize(
    ("ends", "reason", "seconds"),
    [
        (expires, "expiry", 3),
        (closes, "market_closed", None),
        (settles, "market_closed", None),
        (meets_another_of_ours, "self_trade", None),
        (somebody_cancels, "canceled_elsewhere", None),
        (somebody_cancels_and_later_it_closes, "canceled_elsewhere", None),
    ],
)
def test_an_order_that_was_canceled_unasked_says_why(
    own_world: World, ends: Callable[[World, str], None], reason: str, seconds: int | None
) -> None:
    expiry = None if seconds is None else int(time.time()) + seconds
    run = own_world.submit([row(price="0.02", count="2", expiration_time=expiry)])
    name, order_id = run.orders[0].client_order_id, run.orders[0].order_id
    assert run.orders[0].status == "resting"
    assert order_id is not None
    ends(own_world, order_id)
    with own_world.opened() as oms:
        oms.reconcile()
    order = own_world.order(name)
    assert (order.status, order.reason) == ("canceled", reason)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_order_that_stops_at_one_of_ours_says_why_at_once(own_world: World, batch_size: int) -> None:
    """In the middle of the book; a part of the first is filled, and the last two end by their own time_in_force."""
    own_world.sandbox.control(quote={"ticker": TICKER, "side": "ask", "price": "0.6200", "count": "1.00"})
    own_world.submit([row(action="sell", price="0.62", count="5")])
    run = own_world.submit(
        [
            row(price="0.62", count="3"),
            row(price="0.62", count="2"),
            row(price="0.62", count="2", time_in_force="immediate_or_cancel"),
            row(price="0.99", count="0.01", ticker=OTHER),
        ],
        submit__batch_size=batch_size,
        submit__concurrency=1,
    )
    cut, nothing, at_once, executed = run.orders
    assert [(x.status, x.fill_count, x.reason) for x in (cut, nothing, at_once, executed)] == [
        ("canceled", "1.00", "self_trade"),
        ("canceled", "0.00", "self_trade"),
        ("canceled", "0.00", None),
        ("executed", "0.01", None),
    ]
    with own_world.opened() as oms:
        oms.reconcile()
        assert all(check.ok for check in oms.check())
    assert own_world.order(cut.client_order_id).reason == "self_trade"


def test_an_order_of_ours_that_did_not_meet_it_is_no_self_trade(own_world: World) -> None:
    """Another price, another market, another way of preventing it, or earlier: each is somebody else's cancel."""
    run = own_world.submit(
        [
            row(price="0.02", count="2"),
            row(action="sell", price="0.99", count="3", self_trade_prevention_type="maker"),
            row(ticker=OTHER, action="sell", price="0.01", count="1", self_trade_prevention_type="maker"),
            row(action="sell", price="0.03", count="1", self_trade_prevention_type="taker_at_cross"),
        ]
    )
    order = run.orders[0]
    assert order.order_id is not None
    somebody_cancels(own_world, order.order_id)
    with own_world.opened() as oms:
        oms.reconcile()
    assert own_world.order(order.client_order_id).reason == "canceled_elsewhere"
