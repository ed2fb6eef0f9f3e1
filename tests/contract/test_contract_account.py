"""The account as a whole: halts, clearing it, order groups; against a real exchange in good and bad weather."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oms import Oms
from oms.app.session import Session
from oms.errors import InputError, LedgerBusy
from oms.interrupt import Interrupt
from oms.ledger.halt import HaltFile, halt_path, lift_path
from oms.records import ActionReport
from tests.contract.worlds import World, fault, row
from tests.sandbox.running import start_sandbox

GROUP_CREATE, TRIGGER, ALL, CANCEL_ONE = "CreateOrderGroup", "TriggerOrderGroup", "CancelAllOrdersV2", "CancelOrderV2"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("account")
    with start_sandbox(directory / "sandbox", tier="unlimited") as sandbox:
        yield World(sandbox, directory)


@pytest.fixture
def world(exchange: World) -> Iterator[World]:
    """A ledger of this test's own on an exchange where nothing rests."""
    fresh = World(exchange.sandbox, exchange.directory)
    yield fresh
    exchange.sandbox.control(faults=[], read_lag_ms=0, pause="none")
    exchange.sandbox.call("DELETE", "/portfolio/events/orders")


def resting(world: World) -> int:
    return sum(order["status"] == "resting" for order in world.sandbox.orders())


def elsewhere(world: World, **more: Any) -> str:
    """An order that another program places."""
    return str(world.sandbox.create(client_order_id=f"else-{world.serial()}", **more).json()["order_id"])


def states(world: World) -> list[tuple[str, str]]:
    with world.opened() as oms:
        return [(str(x.kind), str(x.state)) for x in _actions(oms)]


def _actions(oms: Oms) -> list[Any]:
    from oms.ledger import actions

    ledger = oms._open(create=False)
    return [entry for key in range(1, 50) if (entry := actions.entry_of(ledger, key)) is not None]


def checked(world: World) -> None:
    with world.opened() as oms:
        assert [each.name for each in oms.check() if not each.ok] == []


# -- halt ---------------------------------------------------------------------------------------------------------


def test_a_halted_ledger_sends_nothing_and_says_why_and_goes_on_when_it_is_lifted(world: World) -> None:
    with world.opened() as oms:
        assert oms.halt("fat finger") == "fat finger"
    run = world.submit([row(), row()])
    assert (run.exit_code, run.statuses, run.book()) == (6, ["pending", "pending"], [None, None])
    assert run.report.stop is not None
    assert "fat finger" in run.report.stop.message
    assert "oms unhalt" in run.report.stop.hint
    with world.opened() as oms:
        assert oms.status(ask_exchange=False).halted == "fat finger"
        report = oms.reconcile()
        assert (report.halted, report.exit_code, report.queued) == ("fat finger", 0, 2)
        assert oms.unhalt() == "fat finger"
    assert world.drain().statuses == ["resting", "resting"]


def test_a_halt_that_only_the_file_knows_gets_its_row_from_the_next_run(world: World) -> None:
    world.submit([row()])
    HaltFile(world.ledger_path).set("by file", 1)
    assert world.submit([row()]).exit_code == 6
    HaltFile(world.ledger_path).lift()
    assert world.submit([row(price="0.02")]).exit_code == 6
    with world.opened() as oms:
        assert oms.unhalt() == "by file"


def test_a_request_that_was_claimed_stays_here_when_the_halt_comes_before_its_first_byte(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oms.venue.sockets import Flight

    real = Flight.touch

    def touch(self: Flight) -> None:
        halt_path(world.ledger_path, "at the last moment", 1)
        real(self)

    with world.opened() as oms:  # the ledger is there, and connected
        oms.submit([row()], batch="before")
    sent = len(world.sent())
    monkeypatch.setattr(
        Flight, "touch", lambda self: touch(self) if not HaltFile(world.ledger_path).is_set() else real(self)
    )
    run = world.submit([row(), row(), row()])
    assert (run.exit_code, set(run.statuses), set(run.states)) == (6, {"pending"}, {"queued"})
    assert len(world.sent()) == sent


def test_a_halt_does_not_stop_cancels(world: World) -> None:
    placed = world.submit([row(), row()])
    with world.opened() as oms:
        oms.halt("stop")
    canceled = world.cancel(placed.orders[0].client_order_id)
    assert (canceled.exit_code, canceled.statuses) == (0, ["canceled"])


def test_a_cancel_under_a_halt_ends_the_changes_that_wait_of_its_order(world: World) -> None:
    placed = world.submit([row(count="5"), row(count="5")])
    first, other = (order.client_order_id for order in placed.orders)
    with world.opened() as oms:
        oms.halt("stop")
        for name in (first, other):
            assert oms.amend(name, price="0.02").exit_code == 6
            assert oms.decrease(name, to="3").exit_code == 6
        assert oms.cancel([first]).exit_code == 0
        assert (oms.order(first).status, oms.order(first).change_state) == ("canceled", "withdrawn")
        assert oms.order(other).change_state == "queued"
        assert oms.status(ask_exchange=False).queued == 1
        oms.unhalt()
    assert world.drain().exit_code == 0
    with world.opened() as oms:
        assert (oms.order(other).count, oms.order(other).price) == ("3.00", "0.0200")


def test_clearing_withdraws_what_is_queued_and_leaves_nothing_resting_of_anybody(world: World) -> None:
    placed = world.submit([row(), row(price="0.02")])
    elsewhere(world)
    before = len(world.sent(ALL))
    with world.opened() as oms:
        oms.halt("stop")
        queued = oms.submit([row(price="0.03")])
        assert queued.exit_code == 6
        report = oms.clear()
        assert (report.exit_code, report.withdrawn, report.canceled, report.cancel_all) == (0, 1, 2, "accepted")
        assert report.resting == ()
        assert [order.reason for order in oms.run_orders(queued)] == ["halted"]
    assert resting(world) == 0
    assert set(placed.book()) == {"canceled"}
    assert len(world.sent(ALL)) == before + 1
    checked(world)


def test_clearing_does_not_wait_for_a_run_that_resolves_a_doubt(world: World) -> None:
    """The horizon is a minute in prod: a run that waits for it lets go when it is halted, or nothing is canceled."""
    world.submit([row()])
    world.faults(fault("drop", "CreateOrderV2", commit=False))
    horizon_s, stopping = 20, Interrupt()
    before = [len(world.sent(each)) for each in ("CreateOrderV2", ALL)]
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(world.submit, [row(price="0.02")], submit__in_flight_horizon_s=horizon_s)
        until(lambda: len(world.sent("CreateOrderV2")) > before[0] and in_doubt(world) == 1)
        with world.opened() as oms:
            oms.halt("stop")
        with world.opened(submit__in_flight_horizon_s=horizon_s) as oms:
            oms._interrupt = stopping
            clearing = threads.submit(oms.clear)
            until(lambda: len(world.sent(ALL)) > before[1])
            stopping.request(2)  # it would wait for the doubt itself now
            clearing.result()
        left = waiting.result()
    assert (left.exit_code, left.report.stop and left.report.stop.code) == (3, "halted")
    signed_ms, cleared_us = world.sent("CreateOrderV2")[-1]["signed_ms"], world.sent(ALL)[-1]["at_us"]
    assert cleared_us // 1000 < signed_ms + horizon_s * 1000
    assert resting(world) == 0


def until(is_true: Callable[[], bool]) -> None:
    """Wait for a fact, at most half a minute."""
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def in_doubt(world: World) -> int:
    with world.opened() as oms:
        return oms.status(ask_exchange=False).in_doubt


@pytest.mark.parametrize("lifted", [False, True])
def test_a_halt_that_ends_the_wait_for_the_account_lets_nothing_be_sent_without_it(
    world: World, monkeypatch: pytest.MonkeyPatch, lifted: bool
) -> None:
    world.submit([row()])
    with world.opened() as oms:
        oms.submit([row(price="0.02")], batch=f"later-{world.serial()}", send=False)
        oms.restore(oms.backup(world.directory / f"copy-{world.serial()}.sqlite3"))
    real = Session._await_data

    def await_data(self: Session, *given: Any) -> bool:
        halt_path(world.ledger_path, "while it waits", 1)
        found = real(self, *given)
        if lifted:
            lift_path(world.ledger_path)
        return found

    monkeypatch.setattr(Session, "_await_data", await_data)
    before = len(world.sent("CreateOrderV2"))
    run = world.drain(submit__in_flight_horizon_s=30)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (6, "halted")
    assert len(world.sent("CreateOrderV2")) == before
    monkeypatch.undo()
    with world.opened() as oms:
        oms.unhalt()
    assert world.drain().exit_code == 0
    assert len(world.sent("CreateOrderV2")) == before + 1


def test_a_reconcile_keeps_the_breaks_that_it_finds_under_a_halt(world: World) -> None:
    (order,) = world.submit([row(count="5")]).orders
    body = {"ticker": order.ticker, "side": "bid", "price": "0.0200", "count": "3.00"}
    assert world.sandbox.call("POST", f"/portfolio/events/orders/{order.order_id}/amend", body).ok
    with world.opened() as oms:
        oms.halt("stop")
        assert [x.kind for x in oms.reconcile().breaks] == ["amended"]
        assert [x.kind for x in oms.breaks()] == ["amended"]


def test_while_trading_is_paused_a_run_that_waits_for_it_sends_the_cancels_of_others(world: World) -> None:
    placed = world.submit([row(), row(price="0.02")])
    resting_one, queued_one = placed.orders[0].client_order_id, f"q-{world.serial()}"
    world.sandbox.control(pause="trading")
    before = len(world.sent("CreateOrderV2"))
    with ThreadPoolExecutor(1) as threads:
        rows = [row(client_order_id=queued_one), row(price="0.03")]
        waiting = threads.submit(world.submit, rows, submit__wait_s=30)
        until(lambda: len(world.sent("CreateOrderV2")) > before)
        canceled = world.cancel(resting_one, queued_one)
        assert not waiting.done()
        assert (canceled.exit_code, sorted(canceled.statuses)) == (0, ["canceled", "unsent"])
        world.sandbox.control(pause="none")
        assert sorted(waiting.result().statuses) == ["resting", "unsent"]


def test_an_exchange_that_stays_paused_is_given_up_although_cancels_went_out_meanwhile(world: World) -> None:
    placed = world.submit([row()])
    world.sandbox.control(pause="trading")
    before = len(world.sent("CreateOrderV2"))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(world.submit, [row(price="0.03")], submit__wait_s=3)
        until(lambda: len(world.sent("CreateOrderV2")) > before)
        assert world.cancel(placed.orders[0].client_order_id).exit_code == 0
        left = waiting.result()
    assert (left.exit_code, left.report.stop and left.report.stop.code) == (6, "paused")


def test_a_cancel_that_is_done_does_not_wait_for_an_amend_that_a_pause_holds_back(world: World) -> None:
    amended, wanted = (order.client_order_id for order in world.submit([row(), row(price="0.02")]).orders)
    world.sandbox.control(pause="trading")
    with world.opened(submit__wait_s=1) as oms:
        assert oms.amend(amended, price="0.03").exit_code == 6
    began = time.monotonic()
    run = world.cancel(wanted, submit__wait_s=30)
    assert (run.exit_code, run.report.stop, run.statuses) == (0, None, ["canceled"])
    assert time.monotonic() - began < 15
    world.sandbox.control(pause="none")
    assert world.drain().exit_code == 0


def test_who_finds_the_ledger_held_is_told_that_nothing_was_recorded_and_how_it_lets_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oms.app import guarding

    monkeypatch.setattr(guarding, "LOCK_WAIT_S", 0.1)
    world.submit([row()])
    with world.opened() as other, world.opened() as oms:
        other._open(create=False).locks.take_writer(1)
        with pytest.raises(LedgerBusy) as refused:
            oms.cancel_account()
    assert "nothing of this was recorded" in refused.value.hint
    assert "oms halt" in refused.value.hint


def test_nothing_is_sent_in_the_minute_after_a_cancel_all(world: World) -> None:
    with world.opened() as oms:
        oms.halt("stop")
        oms.clear()
        oms.unhalt()
        from oms.ledger import actions

        until_ms = actions.tail_until_ms(oms._open(create=False))
        notes = oms.reconcile().notes
    assert any("cancel-all" in note for note in notes)
    assert until_ms is not None
    signed_ms = world.sent(ALL)[-1]["signed_ms"]
    assert 60_000 <= until_ms - signed_ms < 62_500


def test_clearing_goes_by_raw_ids_where_a_listing_cannot_be_read(world: World) -> None:
    world.submit([row()])
    mine, other = world.sandbox.orders()[-1]["order_id"], elsewhere(world)
    broken = (
        f'{{"orders":[{{"order_id":"{mine}","status":7}},{{"order_id":"{other}","remaining_count_fp":"NaNN"}}], oops'
    )
    no = {"kind": "answer", "status": 403, "body": '{"error":{"code":"forbidden","message":"members only"}}'}
    world.faults(
        fault("answer", "GetOrders", status=200, body=broken, times=3),
        {"match": {"operation": ALL}, "fault": no},
    )
    with world.opened() as oms:
        oms.halt("stop")
        report = oms.clear()
    assert (report.cancel_all, report.canceled, report.external) == ("refused", 1, 1)
    assert resting(world) == 0


@pytest.mark.parametrize(
    "lost", [{"kind": "drop", "commit": True}, {"kind": "drop", "commit": False}, {"kind": "error"}]
)
def test_a_cancel_all_without_an_answer_is_settled_by_reading_what_rests(world: World, lost: dict[str, Any]) -> None:
    elsewhere(world)
    world.faults({"match": {"operation": ALL, "times": 1}, "fault": lost})
    with world.opened() as oms:
        oms.halt("stop")
        report = oms.clear()
    assert (report.exit_code, report.cancel_all, report.resting) == (0, "accepted", ())
    assert states(world) == [("cancel_all", "accepted")]
    checked(world)


def test_canceling_the_account_takes_ours_by_cancels_and_each_other_order_by_name(world: World) -> None:
    run = world.submit([row(), row(price="0.02")])
    others = [elsewhere(world), elsewhere(world, ticker="SBXGAME-A-T10")]  # the second lives on another shard
    with world.opened() as oms:
        there = oms.resting_at_exchange()
        assert sorted(x.order_id for x in there if x.client_order_id is None) == sorted(others)
        report = oms.cancel_account()
    assert (report.exit_code, report.canceled, report.external, report.cancel_all) == (0, 2, 2, None)
    assert resting(world) == 0
    assert set(run.book()) == {"canceled"}
    assert states(world) == [("cancel_external", "accepted")] * 2
    checked(world)


# -- order groups ---------------------------------------------------------------------------------------------------


def made(world: World, name: str = "pins", limit: str = "5") -> ActionReport:
    with world.opened() as oms:
        return oms.create_group(limit, name=name)


def groups_there(world: World) -> dict[str, Any]:
    listed = world.sandbox.call("GET", "/portfolio/order_groups").json()["order_groups"]
    return {group["id"]: group for group in listed}


def test_a_group_is_made_named_limited_triggered_reset_and_deleted(world: World) -> None:
    report = made(world)
    group_id = report.action.order_group_id
    assert (report.exit_code, report.action.state) == (0, "accepted")
    assert group_id in groups_there(world)
    with world.opened() as oms:
        assert oms.limit_group("pins", "7").exit_code == 0
        assert groups_there(world)[group_id]["contracts_limit_fp"] == "7.00"
        assert oms.trigger_group("pins").exit_code == 0
        (shown,) = [x for x in oms.groups() if x.name == "pins"]
        assert (shown.state, shown.contracts_limit, shown.order_group_id) == ("triggered", "7.00", group_id)
        assert oms.reset_group(str(group_id)).exit_code == 0
        assert oms.delete_group("pins").exit_code == 0
        assert group_id not in groups_there(world)
        with pytest.raises(InputError, match="no order group"):
            oms.trigger_group("pins")
    checked(world)


def test_a_group_of_a_name_that_is_taken_is_refused_before_anything_is_sent(world: World) -> None:
    made(world)
    before = len(world.sent(GROUP_CREATE))
    with pytest.raises(InputError, match="already"):
        made(world)
    with pytest.raises(InputError, match="looks like an order_group_id"):
        made(world, "9a3c1d5e-0000-4000-8000-00000000abcd")
    assert len(world.sent(GROUP_CREATE)) == before


def test_a_group_whose_making_had_no_answer_is_found_among_the_groups(world: World) -> None:
    made(world, "other")
    before = groups_there(world)
    world.faults({"match": {"operation": GROUP_CREATE, "times": 1}, "fault": {"kind": "drop", "commit": True}})
    report = made(world, limit="6")
    assert (report.exit_code, report.action.state, report.action.attempts) == (0, "accepted", 1)
    assert set(groups_there(world)) - set(before) == {report.action.order_group_id}
    with world.opened() as oms:
        assert oms.trigger_group("pins").exit_code == 0


def test_a_group_that_was_never_made_is_proven_absent_and_not_asked_for_twice(world: World) -> None:
    before = groups_there(world)
    world.faults({"match": {"operation": GROUP_CREATE, "times": 1}, "fault": {"kind": "drop", "commit": False}})
    report = made(world)
    assert (report.exit_code, report.action.state, report.action.attempts) == (1, "absent", 1)
    assert groups_there(world) == before
    assert made(world).exit_code == 0


def test_what_cannot_be_told_is_parked_and_waits_for_a_person(world: World) -> None:
    with world.opened() as oms:
        real = oms._carried

        def carried(session: Any, wanted: Any) -> Any:
            # Another program makes one with the same limit between the list and the request.
            world.sandbox.call("POST", "/portfolio/order_groups/create", {"contracts_limit": 5})
            rule = {"match": {"operation": GROUP_CREATE, "times": 1}, "fault": {"kind": "drop", "commit": True}}
            world.faults(rule)
            return real(session, wanted)

        oms._carried = carried  # type: ignore[method-assign]
        report = oms.create_group("5", name="pins")
        assert (report.exit_code, report.action.state, report.action.in_doubt) == (3, "parked", True)
        assert oms.status(ask_exchange=False).parked == 1
        again = oms.reconcile()
        assert again.exit_code == 3
        assert any("oms group settle" in note for note in again.notes)
        with pytest.raises(InputError, match="not known yet"):
            oms.create_group("5", name="more")
        settled = oms.settle_action(report.action.action, order_group_id=list(groups_there(world))[-1])
        assert (settled.exit_code, settled.action.state) == (0, "accepted")
        assert oms.trigger_group("pins").exit_code == 0
    checked(world)


@pytest.mark.parametrize(
    "lost", [{"kind": "drop", "commit": True}, {"kind": "drop", "commit": False}, {"kind": "error"}]
)
def test_a_trigger_without_an_answer_is_settled_or_sent_again(world: World, lost: dict[str, Any]) -> None:
    made(world)
    world.faults({"match": {"operation": TRIGGER, "times": 1}, "fault": lost})
    with world.opened() as oms:
        report = oms.trigger_group("pins")
    assert (report.exit_code, report.action.state) == (0, "accepted")
    group_id = report.action.order_group_id
    assert groups_there(world)[str(group_id)]["is_auto_cancel_enabled"]


def test_a_refusal_is_told_with_its_code(world: World) -> None:
    made(world)
    no = {"kind": "answer", "status": 400, "body": '{"error":{"code":"invalid_parameters","message":"no"}}'}
    world.faults({"match": {"operation": "UpdateOrderGroupLimit"}, "fault": no})
    with world.opened() as oms:
        report = oms.limit_group("pins", "9")
    assert (report.exit_code, report.action.state) == (5, "refused")
    assert "invalid_parameters" in (report.action.detail or "")


def test_orders_go_into_their_group_and_what_its_trigger_canceled_says_so(world: World) -> None:
    group_id = made(world).action.order_group_id
    with world.opened() as oms:
        report = oms.submit([row(), row(price="0.02", order_group=group_id), row(price="0.03")], order_group="pins")
        assert report.exit_code == 0
        assert {order.order_group_id for order in oms.run_orders(report)} == {group_id}
        (shown,) = [x for x in oms.groups() if x.name == "pins"]
        assert shown.orders == 3
        oms.trigger_group("pins")
        oms.reconcile()
        assert {(order.status, order.reason) for order in oms.run_orders(report)} == {("canceled", "order_group")}
        refused = oms.submit([row(price="0.04", order_group="pins")])
        assert refused.exit_code == 5
    checked(world)


def test_the_retry_of_an_order_stays_in_its_group(world: World) -> None:
    group_id = made(world).action.order_group_id
    with world.opened() as oms:
        oms.trigger_group("pins")
        refused = oms.submit([row(order_group="pins")], batch="grouped")
        assert refused.exit_code == 5
        oms.reset_group("pins")
        again = oms.retry("grouped")
        assert again.exit_code == 0
        assert [order.order_group_id for order in oms.run_orders(again)] == [group_id]


def test_a_dry_run_knows_the_groups_of_the_ledger_and_refuses_others(world: World) -> None:
    group_id = made(world).action.order_group_id
    with world.opened() as oms:
        (shown,) = oms.preview([row(order_group="pins")])
        assert shown["order_group_id"] == group_id
        with pytest.raises(InputError, match="not an order group"):
            oms.preview([row(order_group="pints")])
    with World(world.sandbox, world.directory).opened() as without_ledger:
        with pytest.raises(InputError, match="not an order group"):
            without_ledger.preview([row(order_group="pins")])
        without_ledger.preview([row()])


def test_what_a_cancel_all_canceled_says_so_where_nothing_else_had_been_asked(world: World) -> None:
    placed = world.submit([row()])
    with world.opened() as oms:
        oms.halt("stop")
        oms.clear()
        assert oms.reconcile().halted == "stop"
    assert world.order(placed.orders[0].client_order_id).status == "canceled"


# -- what a group takes along is read back at once -------------------------------------------------------------------


def grouped(world: World, members: int = 2, **changes: Any) -> tuple[str, list[str]]:
    """A group with orders that rest in it."""
    name = f"g{world.serial()}"
    with world.opened() as oms:
        assert oms.create_group(changes.pop("limit", "50"), name=name).exit_code == 0
        placed = oms.submit([row(price=f"0.0{1 + n % 9}", **changes) for n in range(members)], order_group=name)
        orders = list(oms.run_orders(placed))
    assert {order.status for order in orders} == {"resting"}
    return name, [order.client_order_id for order in orders]


@pytest.mark.parametrize("count", [2, 23])
@pytest.mark.parametrize("delete", [False, True])
def test_what_became_of_the_orders_in_a_group_is_known_when_its_trigger_ends(
    world: World, delete: bool, count: int
) -> None:
    name, orders = grouped(world, count)
    world.submit([row(price="0.05")])  # in no group: stays
    world.sandbox.control(read_lag_ms=300)
    with world.opened() as oms:
        report = oms.delete_group(name) if delete else oms.trigger_group(name)
        assert (report.exit_code, report.members) == (0, {"canceled": count})
        assert any(f"{count} canceled" in note for note in report.notes)
        assert {(oms.order(each).status, oms.order(each).reason) for each in orders} == {("canceled", "order_group")}
        assert len(list(oms.orders(status="resting"))) == 1
    checked(world)


def test_a_limit_that_triggers_a_group_at_once_says_what_became_of_its_orders(world: World) -> None:
    name, orders = grouped(world, 2, count="3")
    trade = {"ticker": "SBXRAIN-A-T10", "side": "ask", "price": "0.01", "count": "2", "client_order_id": orders[0]}
    world.sandbox.control(trade=trade)
    with world.opened() as oms:
        calm = oms.limit_group(name, "40")
        assert calm.members is None
        report = oms.limit_group(name, "1")
        if report.members is None:
            pytest.fail(f"the group was not triggered: {report}")
        assert report.members == {"canceled": 2}


def test_orders_that_are_still_shown_after_a_trigger_are_told_and_the_command_does_not_end_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oms.app import group_members

    monkeypatch.setattr(group_members, "_LOOK_S", 0.3)
    name, _ = grouped(world)
    world.sandbox.control(read_lag_ms=4_000)
    with world.opened() as oms:
        report = oms.trigger_group(name)
        assert (report.action.state, report.exit_code, report.members) == ("accepted", 5, {"resting": 2})
    world.sandbox.control(read_lag_ms=0)
    with world.opened() as oms:
        oms.reconcile()
        assert list(oms.orders(status="resting")) == []


def test_orders_that_cannot_be_read_after_a_trigger_leave_it_open(world: World) -> None:
    name, _ = grouped(world)
    world.faults(fault("error", "GetOrder", status=503, times=50))
    with world.opened() as oms:
        report = oms.trigger_group(name)
        assert (report.action.state, report.exit_code) == ("accepted", 6)
        assert any("not all of them could be read" in note for note in report.notes)


# -- groups and halts -------------------------------------------------------------------------------------------------


def test_a_halt_holds_back_what_loosens_a_group_and_lets_what_tightens_it_through(world: World) -> None:
    name, _ = grouped(world)
    before = [len(world.sent(each)) for each in ("ResetOrderGroup", "UpdateOrderGroupLimit")]
    with world.opened() as oms:
        oms.trigger_group(name)
        oms.halt("stop")
        for held in (lambda: oms.reset_group(name), lambda: oms.limit_group(name, "60")):
            report = held()
            assert (report.exit_code, report.action.state, report.action.reason) == (6, "withdrawn", "halted")
            assert "stop" in (report.action.detail or "")
        assert [len(world.sent(each)) for each in ("ResetOrderGroup", "UpdateOrderGroupLimit")] == before
        assert oms.limit_group(name, "20").exit_code == 0
        assert oms.create_group("5", name=f"{name}-new").exit_code == 0
        assert oms.trigger_group(f"{name}-new").exit_code == 0
        assert oms.delete_group(f"{name}-new").exit_code == 0
        oms.unhalt()
        assert oms.reset_group(name).exit_code == 0
    checked(world)


def test_a_halt_that_comes_before_the_first_byte_of_a_reset_stops_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oms.venue.sockets import Flight

    name, _ = grouped(world)
    before = len(world.sent("ResetOrderGroup"))
    with world.opened() as oms:
        oms.trigger_group(name)
        real = Flight.touch

        def touch(self: Flight) -> None:
            halt_path(world.ledger_path, "at the last moment", 1)
            real(self)

        monkeypatch.setattr(
            Flight, "touch", lambda self: touch(self) if not HaltFile(world.ledger_path).is_set() else real(self)
        )
        report = oms.reset_group(name)
    assert (report.exit_code, report.action.reason) == (6, "halted")
    assert len(world.sent("ResetOrderGroup")) == before
