"""A ledger that was put back to an earlier state sends nothing while what it has forgotten may still arrive (P2)."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import requests

from tests.contract.worlds import World, fault, row


def test_a_restored_ledger_waits_for_what_was_on_its_way(world: World, tmp_path: Path) -> None:
    # The one case that no reading can show at once: the exchange forgets ids of executed orders, the request of the
    # run that was lost has not arrived yet, and the order would execute at once when it is sent again.
    world.sandbox.control(dedupe="open_only")
    with world.opened() as oms:
        report = oms.submit([row(price="0.99")], batch=f"set-back-{world.serial()}", send=False)
        (order,) = oms.run_orders(report)
        oms.restore(oms.backup(tmp_path / "copy.sqlite3"))
    world.faults(fault("late", ms=600))
    with suppress(requests.RequestException):
        world.sandbox.create(client_order_id=order.client_order_id, price="0.9900")
    world.faults()
    run = world.drain(submit__in_flight_horizon_s=1.5)
    world.sandbox.control(dedupe="forever")
    assert run.exit_code == 0
    assert world.book([order]) == ["executed"]
    assert any("restored" in note for note in run.report.notes)
    again = world.drain()
    assert not any("restored" in note for note in again.report.notes), "once it has waited, it goes on"


def test_a_recording_that_was_cut_off_is_no_sign_of_an_older_ledger(own_world: World) -> None:
    """What its clearing deletes was never sent: the run after it has nothing to wait for."""
    world = own_world
    world.submit([row()])
    with world.opened() as oms:
        oms.submit([row(price="0.02"), row(price="0.03")], batch="cut off", send=False)
    with closing(sqlite3.connect(world.ledger_path)) as ledger:
        ledger.execute("UPDATE batches SET state = 'recording' WHERE name = 'cut off'")
        ledger.commit()
    for _ in range(2):
        with world.opened() as oms:
            assert oms.reconcile().notes == ()
    with world.opened() as oms:
        assert [batch.name for batch in oms.batches()] != ["cut off"]


def test_an_amend_of_a_lost_ledger_is_taken_over_never_repeated_and_told(world: World, tmp_path: Path) -> None:
    name = f"lost-{world.serial()}"
    with world.opened() as oms:
        copy = oms.backup(tmp_path / "before.sqlite3")
        (order,) = oms.run_orders(oms.submit([row(count="5", price="0.02")], batch=name))
        assert oms.amend(order.client_order_id, price="0.03", count="7").exit_code == 0
        oms.restore(copy)
    sent = len(world.sent("AmendOrderV2"))
    with world.opened() as oms:
        (there,) = oms.run_orders(oms.submit([row(count="5", price="0.02")], batch=name))
        assert (there.order_id, there.count, there.price) == (order.order_id, "7.00", "0.0300")
        report = oms.reconcile()
        assert [(x.kind, x.expected, x.seen) for x in report.breaks] == [
            ("amended", "5.00 at 0.0200", "7.00 at 0.0300"),
        ]
        told = oms.why(there.client_order_id).summary
        assert "Recorded here as 5.00 at 0.0200" in told
        assert "never repeated" in told
    assert len(world.sent("AmendOrderV2")) == sent
