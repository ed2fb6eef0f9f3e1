"""A line: a run that stays open and takes orders one by one, with the promises of any other run."""

import threading
from typing import Any

import pytest

from oms.app.line import Line
from oms.errors import InputError, LedgerBusy, LedgerFailed, LimitExceeded
from oms.ledger.record import NewBatch
from oms.ledger.tray import Tray
from tests.contract.shells import wait_for
from tests.contract.worlds import World, fault, row


def named(world: World, **changes: Any) -> dict[str, Any]:
    """A row with an id that no other test has."""
    return row(client_order_id=f"line-{world.serial()}", **changes)


def test_what_is_placed_over_a_line_is_recorded_on_return_and_sent_at_once(world: World) -> None:
    with world.opened() as oms, oms.line() as line:
        (name,) = line.place(row(price="0.02"))
        assert oms.order(name).client_order_id == name
        wait_for(lambda: oms.order(name).status == "resting")
        more = line.place(row(price="0.03"), row(price="0.04"), batch=f"b{world.serial()}")
        report = line.close()
        orders = [oms.order(each) for each in (name, *more)]
    assert (report.counts, report.exit_code) == ({"resting": 3}, 0)
    assert [order.status for order in orders] == ["resting"] * 3
    assert world.book(orders) == ["resting"] * 3


def test_a_decision_that_was_placed_is_not_placed_again_by_whichever_way_it_comes(world: World) -> None:
    decision = named(world)
    with world.opened() as oms:
        oms.submit([decision])
        with oms.line() as line:
            assert line.place(decision) == line.place(decision) == (decision["client_order_id"],)
            fresh = named(world)
            line.place(fresh)
            wait_for(lambda: oms.order(fresh["client_order_id"]).status == "resting")
        assert oms.submit([fresh]).preexisting == 1
    for each in (decision, fresh):
        assert len([x for x in world.sent() if x["client_order_ids"] == [each["client_order_id"]]]) == 1


def test_what_is_wrong_with_one_order_is_told_to_whoever_placed_it_and_the_line_goes_on(world: World) -> None:
    first = named(world)
    with world.opened() as oms, oms.line() as line:
        line.place(first)
        for wrong in (row(price=0.5), {**first, "price": "0.02"}, row(submit_before="2020-01-01T00:00:00Z")):
            with pytest.raises(InputError):
                line.place(wrong)
        batch = f"b{world.serial()}"
        line.place(row(), batch=batch)
        with pytest.raises(InputError, match="recorded before with other rows"):
            line.place(row(count="2"), batch=batch)
        with pytest.raises(InputError, match="too many"):
            line.place(*[row()] * 1001)
        after = named(world)
        line.place(after)
        wait_for(lambda: oms.order(after["client_order_id"]).status == "resting")
    assert line.close().exit_code == 0


def test_an_id_that_is_taken_is_refused_inside_the_turn(world: World) -> None:
    taken = named(world)
    with world.opened() as oms, oms.line() as line:
        line.place(taken, batch=f"b{world.serial()}")
        with pytest.raises(InputError, match="belongs to row 1 of batch"):
            line.place(taken, batch=f"b{world.serial()}")
        assert line.close().counts == {"resting": 1}


def test_threads_may_share_a_line(world: World) -> None:
    decisions = [[named(world) for _ in range(5)] for _ in range(4)]
    with world.opened() as oms, oms.line() as line:
        threads = [threading.Thread(target=lambda own=own: [line.place(x) for x in own]) for own in decisions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert line.close().counts == {"resting": 20}
        orders = [oms.order(each["client_order_id"]) for own in decisions for each in own]
    assert world.book(orders) == ["resting"] * 20


def test_limits_hold_for_a_line_too(world: World) -> None:
    with world.opened(limits__max_order_count="2") as oms, oms.line() as line:
        line.place(row(count="2"))
        with pytest.raises(LimitExceeded):
            line.place(row(count="3"))
        assert line.close().counts == {"resting": 1}


def test_what_falls_in_doubt_is_resolved_while_the_line_stays_open(own_world: World) -> None:
    lost, unheard = named(own_world), named(own_world)
    own_world.faults(
        fault("error", client_order_id=lost["client_order_id"], times=1),
        fault("drop", client_order_id=unheard["client_order_id"], times=1, commit=True),
    )
    with own_world.opened() as oms, oms.line() as line:
        for each in (lost, unheard):
            line.place(each)
        wait_for(lambda: all(oms.order(x["client_order_id"]).status == "resting" for x in (lost, unheard)))
        assert line.is_open
        line.place(row())
        assert line.close().counts == {"resting": 3}
        assert own_world.book([oms.order(x["client_order_id"]) for x in (lost, unheard)]) == ["resting"] * 2


def test_a_halt_ends_a_line_and_what_comes_then_is_refused_and_not_recorded(own_world: World) -> None:
    with own_world.opened() as oms, oms.line() as line:
        (name,) = line.place(row())
        wait_for(lambda: oms.order(name).status == "resting")
        oms.halt("enough")
        wait_for(lambda: not line.is_open)
        with pytest.raises(LedgerBusy, match=r"not recorded: sending is halted"):
            line.place(row())
        assert line.close().exit_code == 6
        assert line.stop is not None
        assert line.stop.code == "halted"
        assert [order.client_order_id for order in oms.orders()] == [name]
        late = oms.line()
        assert (late.is_open, late.close().exit_code) == (False, 6)


def test_while_a_line_is_open_its_object_sends_nothing_else_and_another_is_served_by_the_line(world: World) -> None:
    with world.opened() as oms, oms.line() as line:
        (name,) = line.place(row())
        wait_for(lambda: oms.order(name).status == "resting")
        recorded_before = len(oms.why(name).timeline), len(list(oms.batches()))
        for verb in (
            *(oms.drain, oms.reconcile, oms.line, oms.cancel_account),
            lambda: oms.submit([row()]),
            lambda: oms.retry(oms.order(name).batch),
            lambda: oms.cancel([name]),
            lambda: oms.amend(name, price="0.03"),
            lambda: oms.withdraw([name]),
            lambda: oms.create_group("5"),
        ):
            with pytest.raises(LedgerBusy, match="a line of this Oms is open"):
                verb()
        assert (len(oms.why(name).timeline), len(list(oms.batches()))) == recorded_before
        recorded = oms.submit([row(price="0.02")], send=False)
        with world.opened() as other:
            assert other.cancel([name]).exit_code == 0
        assert oms.order(name).status == "canceled"
        wait_for(lambda: [order.status for order in oms.run_orders(recorded)] == ["resting"])
        assert line.is_open


def test_closing_the_object_closes_its_line(world: World) -> None:
    with world.opened() as oms:
        line = oms.line()
        line.place(row())
    assert not line.is_open
    assert not line.is_running
    with world.opened() as other:
        assert other.drain().exit_code == 0


def test_a_line_is_not_opened_beside_another_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms.app.placing.LOCK_WAIT_S", 0.1)
    with world.opened() as oms, world.opened() as other, oms.line():
        with pytest.raises(LedgerBusy, match="another process sends from this ledger"):
            other.line()
        assert other.status(ask_exchange=False).in_doubt == 0


def test_a_failing_ledger_is_told_to_everybody_who_waits() -> None:
    tray, told = Tray(), list[str]()
    asked = threading.Event()
    tray.on_handed(asked.set)

    def place() -> None:
        with pytest.raises(LedgerFailed) as failure:
            tray.hand(NewBatch(b"k" * 32, None, "api", b"d" * 32, 1, True), (), lambda: None)
        told.append(failure.value.message)

    waiting = threading.Thread(target=place)
    waiting.start()
    assert asked.wait(10)
    tray._taken, tray._waiting = tray._waiting, []  # as in a turn whose commit raises
    tray.end(LedgerFailed("the disk is gone"))
    waiting.join(10)
    assert told == ["the disk is gone"]
    with pytest.raises(LedgerBusy, match="not recorded: the disk is gone"):
        tray.hand(NewBatch(b"k" * 32, None, "api", b"d" * 32, 1, True), (), lambda: None)


def test_a_line_that_breaks_off_raises_why_when_it_is_closed(world: World) -> None:
    class Bug(Exception):
        pass

    opened = threading.Event()

    def broken(tray: Tray) -> Any:
        tray.on_handed(lambda: None)
        assert opened.wait(10)
        raise Bug

    with world.opened() as oms:
        line = Line(oms._offer_of_line, oms._ttl_us, broken, lambda ended: pytest.fail("there is no report"))
        opened.set()
        wait_for(lambda: not line.is_open)
        with pytest.raises(LedgerBusy, match="broke off: Bug"):
            line.place(row())
        with pytest.raises(Bug):
            line.close()
