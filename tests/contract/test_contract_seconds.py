"""A second order under one client_order_id: seen, canceled by its order_id, counted, told until a person has looked."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from oms.app import action_carrier, drive
from oms.errors import InputError, LimitExceeded, UnknownOrder
from oms.ledger import actions
from oms.lifecycle.actions import ActionRecorded
from oms.lifecycle.states import ActionKind
from oms.records import BreakRecord, OrderRecord, SubmitReport
from tests.contract.worlds import CANCEL, TICKER, World, fault, row
from tests.sandbox.running import start_sandbox


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("seconds")
    with start_sandbox(directory / "sandbox", tier="unlimited", dedupe="open_only") as sandbox:
        yield World(sandbox, directory)


@pytest.fixture
def world(exchange: World) -> Iterator[World]:
    """A ledger of this test's own on an exchange that forgets the ids of what has ended."""
    fresh = World(exchange.sandbox, exchange.directory)
    yield fresh
    exchange.sandbox.control(faults=[], read_lag_ms=0, pause="none")
    exchange.sandbox.call("DELETE", "/portfolio/events/orders")


def doubled(world: World, **second: str) -> tuple[OrderRecord, str]:
    """An order that was canceled elsewhere, and the order_id of one that rests under its id now."""
    (first,) = world.submit([row()]).orders
    assert world.sandbox.call("DELETE", f"/portfolio/events/orders/{first.order_id}", market_ticker=first.ticker).ok
    made = world.sandbox.create(client_order_id=first.client_order_id, **second)
    assert made.status_code == 201
    return first, str(made.json()["order_id"])


def told(world: World) -> list[BreakRecord]:
    with world.opened() as oms:
        report = oms.reconcile()
        found = [each for each in report.breaks if each.kind == "duplicate"]
        assert (report.exit_code == 7) == bool(found), report
        assert [each.seen for each in oms.breaks()] == [each.seen for each in found]
        return found


def cancel(world: World, *names: str, **settings: object) -> SubmitReport:
    with world.opened(**settings) as oms:
        return oms.cancel(names)


def steps(world: World, order_id: str) -> list[str]:
    """What the ledger has recorded of the cancel of an order that it did not place."""
    with world.opened() as oms:
        return [type(event).__name__ for _, _, event in actions.history(oms._open(create=False), [order_id])]


def trade(world: World, order: OrderRecord, price: str, count: str) -> None:
    """Somebody sells to what rests under that order's id."""
    name = order.client_order_id
    what = {"ticker": TICKER, "side": "ask", "price": price, "count": count, "client_order_id": name}
    world.sandbox.control(trade=what)


def status(world: World, order_id: str) -> str:
    return next(str(x["status"]) for x in world.sandbox.orders() if x["order_id"] == order_id)


def test_the_break_names_the_order_and_the_command_that_cancels_exactly_it(world: World) -> None:
    first, second = doubled(world)
    (found,) = told(world)
    assert second in found.seen
    assert f"`oms cancel {second}`" in found.suggestion
    report = cancel(world, second)
    assert (report.exit_code, report.counts) == (0, {})
    (other,) = report.others
    assert (other.order_id, other.client_order_id, other.state, other.status) == (
        second,
        first.client_order_id,
        "accepted",
        "canceled",
    )
    assert status(world, second) == "canceled"
    assert steps(world, second) == ["ActionRecorded", "Claimed", "Done"]
    with world.opened() as oms:
        for name in (first.client_order_id, second, second[:8]):
            story = oms.why(name)
            assert story.order.client_order_id == first.client_order_id
            assert [x.event for x in story.timeline][-3:] == ["action_recorded", "claimed", "done"]
            assert second in story.timeline[-3].text
        assert [each.name for each in oms.check() if not each.ok] == []


def test_a_cancel_by_a_beginning_of_its_order_id_is_enough_and_one_that_fits_nothing_is_refused(world: World) -> None:
    _, second = doubled(world)
    told(world)
    with pytest.raises(UnknownOrder, match="no order of this ledger"):
        cancel(world, "0" * 12)
    assert cancel(world, second[:10]).exit_code == 0
    assert status(world, second) == "canceled"


@pytest.mark.parametrize("commit", [False, True])
def test_a_cancel_without_an_answer_is_in_doubt_until_the_order_is_read(world: World, commit: bool) -> None:
    _, second = doubled(world)
    told(world)
    world.faults(fault("drop", CANCEL, commit=commit))
    assert cancel(world, second).exit_code == 0
    assert status(world, second) == "canceled"
    assert steps(world, second)[:3] == ["ActionRecorded", "Claimed", "AttemptUnknown"]


def test_a_cancel_of_one_that_was_executed_first_says_so(world: World) -> None:
    first, second = doubled(world)
    told(world)
    trade(world, first, "0.01", "1")
    report = cancel(world, second)
    assert (report.exit_code, report.others[0].status) == (5, "executed")
    assert any("executed" in note for note in report.notes)


@pytest.mark.parametrize("on_wire", [False, True])
def test_a_cancel_that_a_killed_run_has_recorded_goes_on_with_the_next_run(world: World, on_wire: bool) -> None:
    _, second = doubled(world)
    told(world)
    with world.opened() as oms:
        ledger = oms._open(create=False, writable=True)
        ledger.locks.take_writer(1)
        ledger.open_epoch(purpose="cancel", key_print=None, now_us=1)
        wanted = ActionRecorded(kind=ActionKind.CANCEL_EXTERNAL, target=second, ticker=TICKER, purpose="cancel")
        (entry,) = actions.record(ledger, [wanted], 1)
        if on_wire:
            from oms.venue.clock import system_now_us

            actions.claim(ledger, entry, system_now_us() // 1000, 1)
        oms.unhalt()
    assert world.drain().exit_code in (0, 7)
    assert status(world, second) == "canceled"
    died = ["SenderDied"] if on_wire else []
    assert steps(world, second)[: 2 + len(died)] == ["ActionRecorded", "Claimed", *died]


def test_a_cancel_that_cannot_be_sent_stays_queued_and_the_next_run_sends_it(world: World) -> None:
    _, second = doubled(world)
    told(world)
    world.sandbox.control(pause="exchange")
    report = cancel(world, second, submit__wait_s=0.2)
    assert (report.exit_code, report.others[0].state) == (6, "queued")
    world.sandbox.control(pause="none")
    with world.opened() as oms:
        oms.unhalt()
    went_on = world.drain()
    assert any(second in note and "accepted" in note for note in went_on.report.notes)
    assert status(world, second) == "canceled"


def test_a_run_that_leaves_such_a_cancel_in_doubt_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (drive, action_carrier):
        monkeypatch.setattr(module, "_GRACE_S", 0.2)
    _, second = doubled(world)
    told(world)
    world.sandbox.control(pause="exchange")
    assert cancel(world, second, submit__wait_s=0.2).exit_code == 6
    world.sandbox.control(pause="none")
    with world.opened() as oms:
        oms.unhalt()
    world.faults(fault("drop", CANCEL, commit=False, times=50), fault("error", "GetOrder", status=503, times=500))
    run = world.drain(submit__in_flight_horizon_s=0.2)
    assert run.exit_code == 3, run.report


def test_the_cancel_of_the_first_one_leaves_the_second_and_says_that_it_rests(world: World) -> None:
    first, second = doubled(world)
    told(world)
    report = cancel(world, first.client_order_id)
    assert any(second in note and "rests" in note for note in report.notes)
    assert status(world, second) == "resting"


def test_canceling_everything_of_the_ledger_takes_second_orders_along(world: World) -> None:
    _, second = doubled(world)
    told(world)
    with world.opened() as oms:
        assert [x.order_id for x in oms.seconds(ticker=TICKER)] == [second]
        report = oms.cancel(everything=True)
    assert (report.exit_code, [x.order_id for x in report.others]) == (0, [second])
    assert status(world, second) == "canceled"


def test_an_order_that_was_placed_elsewhere_is_canceled_by_its_name_only(world: World) -> None:
    world.submit([row()])
    there = str(world.sandbox.create(client_order_id=f"else-{world.serial()}").json()["order_id"])
    with world.opened() as oms:
        oms.reconcile()
        assert oms.cancel(everything=True).others == ()
        assert status(world, there) == "resting"
        report = oms.cancel([there])
    assert (report.exit_code, report.others[0].state) == (0, "accepted")
    assert status(world, there) == "canceled"


@pytest.mark.parametrize("ending", ["executed", "canceled"])
def test_a_second_order_that_has_ended_stays_a_break_until_a_person_has_looked_at_it(world: World, ending: str) -> None:
    first, second = doubled(world)
    if ending == "executed":
        trade(world, first, "0.01", "1")
    told(world)
    if ending == "canceled":
        assert cancel(world, second).exit_code == 0
    with world.opened() as oms:
        oms.unhalt()
    for _ in range(2):
        (found,) = told(world)
        assert ending in found.seen
        assert f"--acknowledge {second}" in found.suggestion
    with world.opened() as oms:
        with pytest.raises(InputError, match="no second order"):
            oms.resolve(first.client_order_id, acknowledge="0000")
        assert len(oms.breaks()) == 1
        record = oms.resolve(first.client_order_id, acknowledge=second)
        assert record.detail == f"a second order under this id: {second} (acknowledged)"
        oms.resolve(first.client_order_id, acknowledge=second)  # again: nothing changes
        assert oms.breaks() == []
        assert [x.event for x in oms.why(second).timeline].count("duplicate_settled") == 1
        assert [each.name for each in oms.check() if not each.ok] == []
    assert told(world) == []


def held(world: World) -> Decimal:
    """The position in the market, as our fills give it and the exchange says."""
    with world.opened() as oms:
        oms.reconcile()
        found = [x for x in oms.positions(closed=True) if x.ticker == TICKER]
    assert all(x.agrees for x in found)
    return sum((Decimal(x.position) for x in found), Decimal(0))


def test_what_a_second_order_has_traded_counts_in_positions_and_limits(world: World) -> None:
    before = held(world)
    first, _ = doubled(world, count="3", price="0.02")
    trade(world, first, "0.02", "2")
    assert held(world) - before == 2
    with world.opened() as oms:
        oms.unhalt()
    with world.opened(limits__max_open_orders="1") as oms:  # the second one still rests, with 1.00
        (used,) = [x.used for x in oms.limits() if x.limit == "max_open_orders"]
        assert used == "1"
        with pytest.raises(LimitExceeded):
            oms.submit([row(price="0.03")])
