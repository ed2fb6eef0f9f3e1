"""Reading the account: what is recognized, what is concluded from it, and what may not be."""

import json
from typing import Any

import pytest

from oms.records import ReconcileReport
from tests.contract.worlds import CREATE, LIST, Run, World, fault, row


def reconcile(world: World, **settings: Any) -> ReconcileReport:
    with world.opened(**settings) as oms:
        return oms.reconcile()


def listings(world: World, operation: str = LIST) -> list[str]:
    """The queries of every listing that was asked for."""
    return [each["query"] for each in world.sandbox.log() if each["operation"] == operation]


def creates(world: World) -> int:
    return len(world.sent(CREATE))


def in_doubt(world: World, **settings: Any) -> Run:
    """An order whose answer was lost before it was placed, and that no listing has told about yet."""
    assert world.submit([row()], **settings).exit_code == 0  # an order that an honest listing shows
    world.faults(fault("drop"), fault("error", LIST, nth=2, times=None))
    run = world.submit([row(count="2")], **settings)
    assert run.states == ["in_doubt"]
    return run


# -- what is no observation

HORIZON = {"submit__in_flight_horizon_s": 1.5, "venue__timeout_s": 0.3, "submit__wait_s": 0.1}


@pytest.mark.fault(65)
@pytest.mark.usefixtures("impatient")
def test_an_item_that_cannot_be_read_might_be_the_one_looked_for(own_world: World) -> None:
    run = in_doubt(own_world, **HORIZON)
    own_world.faults()
    shown = own_world.sandbox.call("GET", "/portfolio/orders").json()["orders"]
    odd = {"order_id": "odd", "client_order_id": "", "ticker": "T"}
    listed = json.dumps({"orders": [*shown, odd], "cursor": ""})
    own_world.faults(fault("answer", LIST, status=200, body=listed, times=None))
    before = creates(own_world)
    report = reconcile(own_world, **HORIZON)
    assert report.exit_code == 3
    assert [(each.kind, each.order_id) for each in report.breaks] == [("unreadable", "odd")]
    assert own_world.order(run.orders[0].client_order_id).state == "in_doubt"
    own_world.faults()
    assert reconcile(own_world, **HORIZON).absent == 1
    assert creates(own_world) == before, "reconciling sends nothing"
    assert own_world.drain().statuses == ["resting"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["", None], ids=["empty", "missing"])
def test_an_order_without_a_client_order_id_that_looks_like_ours_proves_no_absence(
    own_world: World, name: str | None
) -> None:
    """It was placed after all, and the list leaves its client_order_id out: sent again it would be there twice."""
    assert own_world.submit([row()], **HORIZON).exit_code == 0
    own_world.faults(fault("drop", commit=True), fault("error", LIST, nth=2, times=None))
    run = own_world.submit([row(count="2")], **HORIZON)
    assert run.states == ["in_doubt"]
    own_world.faults()
    shown = own_world.sandbox.call("GET", "/portfolio/orders").json()["orders"]
    (ours,) = [order for order in shown if order["client_order_id"] == run.orders[0].client_order_id]
    ours |= {"client_order_id": name}
    listed = json.dumps({"orders": shown, "cursor": ""})
    own_world.faults(fault("answer", LIST, status=200, body=listed, times=None))
    before = creates(own_world)
    report = reconcile(own_world, **HORIZON)
    assert (report.exit_code, report.absent) == (3, 0)
    assert own_world.drain(**HORIZON).exit_code == 3
    assert creates(own_world) == before
    order = own_world.order(run.orders[0].client_order_id)
    assert order.state == ("parked" if name == "" else "in_doubt")
    own_world.faults()
    reconcile(own_world)
    assert own_world.order(order.client_order_id).status == "resting"


@pytest.mark.fault(61)
@pytest.mark.usefixtures("impatient")
def test_a_listing_that_goes_round_in_a_circle_concludes_nothing(own_world: World) -> None:
    run = in_doubt(own_world, **HORIZON)
    own_world.faults(fault("repeat_cursor", LIST, nth=2, times=None))
    report = reconcile(own_world, **HORIZON)
    assert (report.exit_code, report.absent, report.in_doubt) == (3, 0, 1)
    assert own_world.order(run.orders[0].client_order_id).state == "in_doubt"


@pytest.mark.fault(60)
@pytest.mark.usefixtures("impatient")
def test_a_read_that_lags_behind_the_fence_concludes_nothing(own_world: World) -> None:
    run = in_doubt(own_world, **HORIZON)
    own_world.faults()
    own_world.sandbox.control(read_lag_ms=60_000)
    report = reconcile(own_world, **HORIZON)
    assert (report.exit_code, report.absent) == (3, 0)
    assert own_world.order(run.orders[0].client_order_id).state == "in_doubt"


# -- what turns up


@pytest.mark.fault(44)
def test_an_order_that_arrives_after_its_absence_was_concluded_is_late_and_told_loudly(own_world: World) -> None:
    assert own_world.submit([row()]).exit_code == 0
    own_world.faults(fault("late", ms=900))
    run = own_world.submit([row(count="2")], submit__resend="never")
    assert (run.exit_code, run.statuses, run.book()) == (1, ["unsent"], [None])
    while not own_world.book(run.orders)[0]:
        pass
    report = reconcile(own_world)
    assert (report.exit_code, report.late) == (7, 1)
    assert [each.kind for each in report.breaks] == ["late"]
    assert "oms cancel" in report.breaks[0].suggestion
    order = own_world.order(run.orders[0].client_order_id)
    assert (order.status, order.late, order.state) == ("resting", True, "accepted")
    assert reconcile(own_world).exit_code == 0, "it was told"
    assert own_world.cancel(order.client_order_id).statuses == ["canceled"]


def test_an_order_that_has_moved_to_the_historical_list_is_found_there(own_world: World) -> None:
    assert own_world.submit([row()]).exit_code == 0
    own_world.faults(fault("drop", commit=True))
    own_world.sandbox.control(historical_cutoff=4_000_000_000)  # whatever has ended is history at once
    run = own_world.submit([row(price="0.99")])
    assert (run.exit_code, run.statuses) == (0, ["executed"])
    assert run.events() == ["recorded", "claimed", "attempt_unknown", "found"]
    with own_world.opened() as oms:
        (found,) = [each for each in oms.why(run.orders[0].client_order_id).timeline if each.event == "found"]
    assert found.data["source"] == "historical"


@pytest.mark.fault(62)
def test_a_resting_order_that_ended_while_nobody_looked_is_found_in_the_historical_list(own_world: World) -> None:
    run = own_world.submit([row()])
    order = run.orders[0]
    path = f"/portfolio/events/orders/{order.order_id}"
    assert own_world.sandbox.call("DELETE", path, market_ticker=order.ticker).ok
    own_world.sandbox.control(historical_cutoff=4_000_000_000)
    report = reconcile(own_world)
    assert (report.exit_code, report.breaks) == (0, ())
    assert own_world.order(order.client_order_id).status == "canceled"


# -- how much is read


def test_a_start_reads_the_account_from_where_the_last_one_did_and_a_new_ledger_from_the_beginning(
    own_world: World,
) -> None:
    assert own_world.submit([row()]).exit_code == 0
    assert own_world.submit([row()]).exit_code == 0
    first, second = listings(own_world)
    assert "min_ts" not in first
    assert "min_ts" in second
    for query in (first, second):
        assert "status" not in query
        assert "subaccount" not in query
        assert "ticker" not in query


def test_one_scan_serves_every_order_in_doubt(own_world: World) -> None:
    assert own_world.submit([row()]).exit_code == 0
    own_world.faults(fault("drop", commit=True, times=20))
    before = len(listings(own_world))
    run = own_world.submit([row(count=str(n)) for n in range(1, 21)], submit__concurrency=8)
    assert (run.exit_code, run.statuses) == (0, ["resting"] * 20)
    assert len(listings(own_world)) - before <= 3


def test_many_resting_orders_are_looked_after_by_a_list_and_few_one_by_one(own_world: World) -> None:
    assert own_world.submit([row() for _ in range(30)], submit__batch_size=30).exit_code == 0
    own_world.sandbox.control(clock_offset_ms=3_600_000)  # an hour later the start reads none of them
    reconcile(own_world)
    before = len(listings(own_world, "GetOrder"))
    own_world.sandbox.control(clock_offset_ms=7_200_000)
    report = reconcile(own_world)
    assert (report.exit_code, report.updated) == (0, 0)
    assert len(listings(own_world, "GetOrder")) == before
    assert any("status=resting" in query for query in listings(own_world))
