"""Amends and decreases against everything an exchange may answer, or not: what the order comes to, told by its events.

The table is design section 4 for changes; the exchange's own book is the judge of what rests.
"""

from typing import Any

import pytest

from oms.errors import InputError
from oms.records import OrderRecord
from oms.units import format_count, format_dollars
from tests.contract.worlds import TICKER, Run, World, fault, row

AMEND, DECREASE = "AmendOrderV2", "DecreaseOrderV2"
TAKEN = {AMEND: "amend_acknowledged", DECREASE: "decrease_acknowledged"}
AGAIN = ["effect_absent", "requeued", "claimed"]
OPERATIONS = pytest.mark.parametrize("operation", [AMEND, DECREASE])


def placed(world: World, **changes: Any) -> str:
    run = world.submit([row(count="5", **changes)])
    assert (run.exit_code, run.statuses) == (0, ["resting"])
    return run.orders[0].client_order_id


def change(world: World, operation: str, name: str, **how: Any) -> Run:
    """To 2 at the price it has, or to 3 in all at two cents."""
    with world.opened(**how) as oms:
        if operation == AMEND:
            report = oms.amend(name, price="0.02", count="3")
        else:
            report = oms.decrease(name, to="2")
        return Run(world, report, list(oms.run_orders(report)))


def kind(operation: str) -> str:
    return "amend" if operation == AMEND else "decrease"


def is_changed(world: World, run: Run, operation: str) -> None:
    assert run.exit_code == 0, run.report
    assert terms(run.orders[0]) == (("3.00", "0.0200") if operation == AMEND else ("2.00", "0.0100"))
    assert shown(world, run.orders[0]) == terms(run.orders[0])


def terms(order: OrderRecord) -> tuple[str, str]:
    return order.count, order.price


def shown(world: World, order: OrderRecord) -> tuple[str, str]:
    """What rests at the exchange: all that it may come to, and its price."""
    (there,) = [x for x in world.sandbox.orders() if x["client_order_id"] == order.client_order_id]
    return format_count(there["fill_e2"] + there["remaining_e2"]), format_dollars(there["price_e4"] * 100)


@OPERATIONS
def test_200_changes_the_order_and_its_ids_stay(world: World, operation: str) -> None:
    name = placed(world)
    before = world.order(name)
    run = change(world, operation, name)
    is_changed(world, run, operation)
    after = run.orders[0]
    assert (after.client_order_id, after.order_id) == (before.client_order_id, before.order_id)
    assert (after.remaining_count, after.change_state) == (after.count, "accepted")
    assert world.events(name, kind(operation)) == ["recorded", "claimed", TAKEN[operation]]


@OPERATIONS
def test_the_same_change_again_sends_nothing(world: World, operation: str) -> None:
    name = placed(world)
    is_changed(world, change(world, operation, name), operation)
    before = len(world.sent(operation))
    again = change(world, operation, name)
    is_changed(world, again, operation)
    assert len(world.sent(operation)) == before
    assert any("so already" in note for note in again.report.notes)


@OPERATIONS
@pytest.mark.parametrize("answer", ["empty", "not_json", "cut_body", "cut_headers", "no_order_id"])
def test_a_200_that_cannot_be_understood_is_settled_by_reading_the_order(
    world: World, operation: str, answer: str
) -> None:
    name = placed(world)
    world.faults(fault(answer, operation))
    is_changed(world, change(world, operation, name), operation)
    assert world.events(name, kind(operation)) == ["recorded", "claimed", "attempt_unknown", "effect_seen"]


@OPERATIONS
@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("answer", ["drop", "error", "html"])
def test_a_lost_answer_is_settled_by_what_the_order_shows_past_the_fence(
    world: World, operation: str, answer: str, commit: bool
) -> None:
    name = placed(world)
    world.faults(fault(answer, operation, commit=commit))
    is_changed(world, change(world, operation, name), operation)
    then = ["effect_seen"] if commit else [*AGAIN, TAKEN[operation]]
    assert world.events(name, kind(operation)) == ["recorded", "claimed", "attempt_unknown", *then]


@OPERATIONS
def test_404_while_the_order_rests_is_tried_again(world: World, operation: str) -> None:
    name = placed(world)
    world.faults(fault("not_found", operation))
    is_changed(world, change(world, operation, name), operation)
    expected = ["recorded", "claimed", "attempt_unknown", *AGAIN, TAKEN[operation]]
    assert world.events(name, kind(operation)) == expected


@OPERATIONS
@pytest.mark.parametrize("answer", ["rate_limited", "clock"])
def test_a_change_that_was_not_processed_is_sent_again(world: World, operation: str, answer: str) -> None:
    name = placed(world)
    world.faults(fault(answer, operation))
    is_changed(world, change(world, operation, name), operation)
    expected = ["recorded", "claimed", "not_processed", "claimed", TAKEN[operation]]
    assert world.events(name, kind(operation)) == expected


@OPERATIONS
def test_a_refused_change_says_so_and_leaves_the_order_as_it_was(world: World, operation: str) -> None:
    name = placed(world)
    body = '{"error": {"code": "invalid_price", "message": "off the grid"}}'
    world.faults(fault("answer", operation, status=400, body=body))
    run = change(world, operation, name)
    assert (run.exit_code, run.statuses, terms(run.orders[0])) == (5, ["resting"], ("5.00", "0.0100"))
    assert shown(world, run.orders[0]) == ("5.00", "0.0100")
    assert any("off the grid" in note for note in run.report.notes)


@OPERATIONS
@pytest.mark.parametrize("ending", ["executed", "canceled"])
def test_a_change_of_an_order_that_ended_first_is_moot(world: World, operation: str, ending: str) -> None:
    name = placed(world)
    order_id = world.order(name).order_id
    if ending == "executed":
        trade = {"ticker": TICKER, "side": "ask", "price": "0.01", "count": "5", "client_order_id": name}
        world.sandbox.control(trade=trade)
    else:
        assert world.sandbox.call("DELETE", f"/portfolio/events/orders/{order_id}", market_ticker=TICKER).ok
    world.faults(fault("empty_list", "GetOrders"))  # the end is met by the change, not by the reading before it
    run = change(world, operation, name)
    assert (run.exit_code, run.statuses) == (5, [ending])
    assert world.events(name, kind(operation)) == ["recorded", "claimed", "attempt_unknown", "moot"]
    assert world.order(name).reason == ("canceled_elsewhere" if ending == "canceled" else None)


@OPERATIONS
def test_a_change_in_doubt_survives_the_process_and_is_never_sent_before_it_is_known(
    world: World, operation: str
) -> None:
    name = placed(world)
    world.faults(fault("drop", operation, commit=True), fault("error", "GetOrder", times=None))
    run = change(world, operation, name, submit__wait_s=0.2)
    assert (run.exit_code, run.orders[0].in_doubt, run.orders[0].change_state) == (3, True, "in_doubt")
    with world.opened() as oms, pytest.raises(InputError, match="not known yet"):
        oms.amend(name, price="0.04")
    world.faults()
    before = len(world.sent(operation))
    with world.opened() as oms:
        assert oms.reconcile().exit_code == 0
        (after,) = [order for order in oms.orders() if order.client_order_id == name]
    assert (after.in_doubt, after.change_state) == (False, "accepted")
    assert terms(after) == shown(world, after)
    assert len(world.sent(operation)) == before


def test_a_decrease_by_is_recorded_as_what_may_remain(world: World) -> None:
    name = placed(world)
    world.sandbox.control(
        trade={"ticker": TICKER, "side": "ask", "price": "0.01", "count": "1.50", "client_order_id": name}
    )
    with world.opened() as oms:
        oms.reconcile()
        report = oms.decrease(name, by="1")
        (order,) = oms.run_orders(report)
        (asked,) = [x for x in oms.why(name).timeline if (x.command, x.event) == ("decrease", "recorded")]
    assert asked.data["reduce_to_e2"] == 250
    assert (order.fill_count, order.remaining_count, order.count) == ("1.50", "2.50", "4.00")


def test_an_amend_that_crosses_trades_on_arrival_and_is_read_again(world: World) -> None:
    name = placed(world)
    with world.opened() as oms:
        report = oms.amend(name, price="0.99")
        (order,) = oms.run_orders(report)
    assert (report.exit_code, order.status, order.fill_count) == (0, "executed", "5.00")


def test_fills_between_reading_and_amending_count_towards_the_total(world: World) -> None:
    name = placed(world)
    world.sandbox.control(
        trade={"ticker": TICKER, "side": "ask", "price": "0.01", "count": "2", "client_order_id": name}
    )
    with world.opened() as oms:
        report = oms.amend(name, count="4")
        (order,) = oms.run_orders(report)
    assert (report.exit_code, order.fill_count, order.remaining_count, order.count) == (0, "2.00", "2.00", "4.00")


def test_a_price_is_of_the_leg_that_the_order_was_entered_with(world: World) -> None:
    run = world.submit([row(side="no", price="0.02", count="1")])
    (order,) = run.orders
    with world.opened() as oms:
        report = oms.amend(order.client_order_id, price="0.03")
        (after,) = oms.run_orders(report)
    assert (after.outcome, after.outcome_price, after.price) == ("no", "0.0300", "0.9700")
    assert shown(world, after) == ("1.00", "0.9700")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"to": "0"}, "not above 0"),
        ({"to": "6"}, "not more than 6.00"),
        ({"by": "5"}, "nothing would be left"),
        ({"to": "1.234"}, "to"),
        ({}, "either what may remain"),
    ],
)
def test_impossible_decreases_are_refused_before_anything_is_recorded(
    world: World, how: dict[str, str], says: str
) -> None:
    name = placed(world)
    with world.opened() as oms, pytest.raises(InputError, match=says):
        oms.decrease(name, **how)
    assert world.events(name, "decrease") == []


@pytest.mark.parametrize("price", ["0", "1", "-0.01", "x", "0.0000001"])
def test_impossible_prices_are_refused_before_anything_is_recorded(world: World, price: str) -> None:
    name = placed(world)
    with world.opened() as oms, pytest.raises(InputError):
        oms.amend(name, price=price)
    assert world.events(name, "amend") == []


def test_what_has_ended_cannot_be_changed(world: World) -> None:
    name = placed(world)
    world.cancel(name)
    with world.opened() as oms, pytest.raises(InputError, match="is canceled: nothing of it rests"):
        oms.amend(name, price="0.02")


def test_changes_that_wait_are_needless_once_the_order_is_canceled(world: World) -> None:
    name = placed(world)
    world.sandbox.control(pause="trading")
    try:
        first = change(world, AMEND, name, submit__wait_s=0.1)
        assert (first.exit_code, first.orders[0].change_state) == (6, "queued")
        second = change(world, DECREASE, name, submit__wait_s=0.1)
        assert second.exit_code == 6
        assert world.cancel(name).statuses == ["canceled"]
    finally:
        world.sandbox.control(pause="none")
    assert world.drain().exit_code == 0
    assert world.events(name, "amend").count("moot") == 2
    assert world.order(name).status == "canceled"


def test_a_change_goes_on_from_the_one_that_waits_and_nothing_of_it_is_lost(own_world: World) -> None:
    """A price that was pulled away came back with a decrease recorded after it, both waiting for the end of a halt."""
    name = placed(own_world, price="0.04")
    with own_world.opened() as oms:
        oms.halt("a test")
        assert oms.amend(name, price="0.01").exit_code == 6
        assert oms.decrease(name, to="3").exit_code == 6
        assert oms.amend(name, count="4").exit_code == 6
        oms.unhalt()
    assert own_world.drain().exit_code == 0
    after = own_world.order(name)
    assert terms(after) == ("4.00", "0.0100") == shown(own_world, after)
    assert len(own_world.sent(AMEND)) == 1, "what was superseded is never sent"
    assert own_world.sent(DECREASE) == []


def test_a_decrease_by_counts_from_the_decrease_that_waits(own_world: World) -> None:
    name = placed(own_world)
    with own_world.opened() as oms:
        oms.halt("a test")
        assert oms.decrease(name, by="1").exit_code == 6
        assert oms.decrease(name, by="1").exit_code == 6
        oms.unhalt()
    assert own_world.drain().exit_code == 0
    assert own_world.order(name).remaining_count == "3.00"


def test_cancels_in_bulk_go_out_together_and_each_is_known_by_its_id(world: World) -> None:
    placed_now = world.submit([row(tag="bulk") for _ in range(7)], submit__batch_size=4)
    assert placed_now.exit_code == 0
    before = len(world.sent("CancelOrderV2"))
    with world.opened(submit__batch_size=4) as oms:
        assert len(list(oms.live(tag="bulk"))) == 7
        report = oms.cancel(tag="bulk")
    assert (report.exit_code, report.counts) == (0, {"canceled": 7})
    assert len(world.sent("BatchCancelOrdersV2")) >= 1
    assert len(world.sent("CancelOrderV2")) - before <= 3
    assert placed_now.book() == ["canceled"] * 7


@pytest.mark.parametrize("commit", [False, True])
def test_a_lost_answer_to_a_batched_cancel_is_settled_order_by_order(world: World, commit: bool) -> None:
    tag = f"lost-{commit}"
    placed_now = world.submit([row(tag=tag) for _ in range(4)])
    world.faults(fault("drop", "BatchCancelOrdersV2", commit=commit))
    with world.opened(submit__batch_size=4, submit__concurrency=1) as oms:
        report = oms.cancel(tag=tag)
    assert (report.exit_code, report.counts) == (0, {"canceled": 4})
    assert placed_now.book() == ["canceled"] * 4


def test_a_halt_stops_amends_and_lets_cancels_through(own_world: World) -> None:
    name, other = placed(own_world), placed(own_world)
    with own_world.opened() as oms:
        oms.halt("a test")
    held = change(own_world, AMEND, name)
    assert (held.exit_code, held.orders[0].change_state) == (6, "queued")
    assert own_world.cancel(other).statuses == ["canceled"]
    with own_world.opened() as oms:
        oms.unhalt()
    assert own_world.drain().exit_code == 0
    assert own_world.order(name).price == "0.0200"
