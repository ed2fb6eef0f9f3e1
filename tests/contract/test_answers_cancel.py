"""Design section 4 for cancels: an answer, no answer, or a 404, and what the order turns out to be."""

from typing import Any

import pytest

from oms.app import drive
from oms.errors import UnknownOrder
from tests.contract.worlds import CANCEL, LIST, TICKER, Run, World, fault, row

TRIED_AGAIN = ["effect_absent", "requeued", "claimed", "cancel_acknowledged"]


def placed(world: World, **changes: Any) -> str:
    run = world.submit([row(**changes)])
    assert run.exit_code == 0
    return run.orders[0].client_order_id


def on_cancel(kind: str, **more: Any) -> dict[str, Any]:
    return fault(kind, CANCEL, **more)


def asked(world: World, name: str) -> list[str]:
    return world.events(name, "cancel")


def canceled(run: Run) -> None:
    assert run.exit_code == 0, run.report
    assert run.statuses == ["canceled"] == run.book()
    assert not run.orders[0].in_doubt


def test_200_cancels_the_order(world: World) -> None:
    name = placed(world, count="3")
    run = world.cancel(name)
    canceled(run)
    assert asked(world, name) == ["recorded", "claimed", "cancel_acknowledged"]
    assert (run.orders[0].remaining_count, run.orders[0].cancel_state) == ("0.00", "accepted")


def test_an_order_is_canceled_by_order_id_and_by_the_start_of_an_id_too(world: World) -> None:
    name = placed(world)
    canceled(world.cancel(name[:30]))
    order_id = world.order(placed(world)).order_id
    assert order_id is not None
    canceled(world.cancel(order_id))


def test_canceling_again_changes_nothing_and_is_no_failure(world: World) -> None:
    name = placed(world)
    canceled(world.cancel(name))
    before = len(world.sent(CANCEL))
    again = world.cancel(name)
    canceled(again)
    assert len(world.sent(CANCEL)) == before


def cancel_each(world: World, rules: list[dict[str, Any]]) -> Run:
    """Cancel one order for each rule, each cancel meeting its rule."""
    placed_now = world.submit([row() for _ in rules])
    assert placed_now.exit_code == 0
    for rule, order in zip(rules, placed_now.orders, strict=True):
        rule["match"]["path"] = f"{order.order_id}$"
    world.faults(*rules)
    run = world.cancel(*(order.client_order_id for order in placed_now.orders))
    assert (run.exit_code, run.statuses) == (0, ["canceled"] * len(rules)), run.report
    assert run.book() == run.statuses
    return run


def test_a_200_that_cannot_be_understood_is_unknown_until_the_order_was_read(world: World) -> None:
    kinds = ("empty", "not_json", "no_order_id", "cut_body", "cut_headers")
    run = cancel_each(world, [on_cancel(kind) for kind in kinds])
    expected = ["recorded", "claimed", "attempt_unknown", "effect_seen"]
    assert [run.events(n, "cancel") for n in range(len(kinds))] == [expected] * len(kinds)


@pytest.mark.fault(64)
@pytest.mark.parametrize("commit", [False, True])
def test_a_lost_answer_is_settled_by_what_the_order_shows(world: World, commit: bool) -> None:
    kinds = ("drop", "error", "html")
    run = cancel_each(world, [on_cancel(kind, commit=commit) for kind in kinds])
    expected = ["recorded", "claimed", "attempt_unknown", *(["effect_seen"] if commit else TRIED_AGAIN)]
    assert [run.events(n, "cancel") for n in range(len(kinds))] == [expected] * len(kinds)


@pytest.mark.fault(64)
def test_404_while_the_order_rests_is_tried_again(world: World) -> None:
    name = placed(world)
    world.faults(on_cancel("not_found"))
    canceled(world.cancel(name))
    assert asked(world, name) == ["recorded", "claimed", "attempt_unknown", *TRIED_AGAIN]


@pytest.mark.fault(64)
def test_404_for_an_order_canceled_elsewhere_is_done(world: World) -> None:
    name = placed(world)
    order_id = world.order(name).order_id
    assert world.sandbox.call("DELETE", f"/portfolio/events/orders/{order_id}", market_ticker=TICKER).ok
    with world.opened() as oms:
        run = Run(world, oms.cancel([name]), [])
    assert run.exit_code == 0
    assert world.order(name).status == "canceled"


@pytest.mark.fault(64)
def test_404_for_an_order_executed_first_says_that_there_was_nothing_to_cancel(world: World) -> None:
    name = placed(world, price="0.02")
    world.sandbox.control(
        trade={"ticker": TICKER, "side": "ask", "price": "0.02", "count": "1", "client_order_id": name}
    )
    # What the account shows at the start of the run must not be what settles it.
    world.faults(fault("empty_list", LIST))
    run = world.cancel(name)
    assert run.exit_code == 5
    assert run.statuses == ["executed"] == run.book()
    assert asked(world, name) == ["recorded", "claimed", "attempt_unknown", "moot"]
    assert any("executed first" in note for note in run.report.notes)


def test_canceling_an_order_known_to_be_executed_sends_nothing(world: World) -> None:
    name = placed(world, price="0.99")
    before = len(world.sent(CANCEL))
    run = world.cancel(name)
    assert (run.exit_code, run.statuses) == (5, ["executed"])
    assert asked(world, name) == ["recorded", "moot"]
    assert len(world.sent(CANCEL)) == before


@pytest.mark.parametrize("kind", ["rate_limited", "clock"])
def test_a_cancel_that_was_not_processed_is_sent_again(world: World, kind: str) -> None:
    name = placed(world)
    world.faults(on_cancel(kind))
    canceled(world.cancel(name))
    assert asked(world, name) == ["recorded", "claimed", "not_processed", "claimed", "cancel_acknowledged"]


def test_a_refused_cancel_says_so_and_leaves_the_order_resting(world: World) -> None:
    name = placed(world)
    world.faults(on_cancel("answer", status=400, body='{"error": {"code": "order_ticker_mismatch", "message": "m"}}'))
    run = world.cancel(name)
    assert (run.exit_code, run.statuses) == (5, ["resting"])
    assert asked(world, name) == ["recorded", "claimed", "attempt_refused"]
    assert run.orders[0].cancel_state == "refused"


def test_a_cancel_without_effect_is_given_up_after_five_attempts_and_reported(world: World) -> None:
    name = placed(world)
    world.faults(on_cancel("not_found", times=None))
    run = world.cancel(name, submit__in_flight_horizon_s=0.1)
    assert (run.exit_code, run.statuses) == (5, ["resting"])
    assert run.orders[0].cancel_state == "absent"
    assert asked(world, name).count("claimed") == 5


@pytest.mark.fault(60)
def test_a_cancel_acknowledged_stands_though_reads_still_show_it_resting(world: World) -> None:
    name = placed(world)
    world.faults(on_cancel("stale", ms=1500))
    canceled(world.cancel(name))
    with world.opened() as oms:
        report = oms.reconcile()
    assert (report.exit_code, report.breaks) == (0, ())
    assert world.order(name).status == "canceled"


@pytest.mark.fault(64, 92)
def test_the_cancel_of_an_order_in_doubt_waits_for_its_fate_and_cancels_what_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "_GRACE_S", 0)
    assert world.submit([row()]).exit_code == 0
    world.faults(fault("drop", commit=True), fault("empty_list", LIST, times=None, nth=2))
    doubtful = world.submit([row()], submit__in_flight_horizon_s=1.5)
    assert doubtful.states == ["in_doubt"]
    world.faults()
    run = world.cancel(doubtful.orders[0].client_order_id)
    canceled(run)
    assert run.states == ["accepted"]


@pytest.mark.fault(64)
def test_the_cancel_of_an_order_in_doubt_ends_one_that_is_proven_absent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "_GRACE_S", 0)
    assert world.submit([row()]).exit_code == 0
    world.faults(fault("drop"), fault("empty_list", LIST, times=None, nth=2))
    doubtful = world.submit([row()], submit__in_flight_horizon_s=1.5)
    assert doubtful.states == ["in_doubt"]
    world.faults()
    run = world.cancel(doubtful.orders[0].client_order_id)
    assert (run.exit_code, run.statuses, run.book()) == (0, ["unsent"], [None])
    assert run.orders[0].reason == "cancel_requested"
    assert asked(world, doubtful.orders[0].client_order_id) == ["recorded", "moot"]


@pytest.mark.fault(64)
def test_the_cancel_of_a_queued_order_withdraws_it(world: World) -> None:
    world.faults(fault("clock", times=None))
    queued = world.submit([row(), row()])
    assert queued.states == ["queued", "queued"]
    world.faults()
    run = world.cancel(queued.orders[0].client_order_id)
    assert (run.exit_code, run.statuses, run.book()) == (0, ["unsent"], [None])
    rest = world.drain()
    assert (rest.exit_code, rest.book()) == (0, ["resting"])


@pytest.mark.fault(41)
def test_a_cancel_asked_for_while_the_exchange_is_down_is_kept_and_done_by_the_next_run(own_world: World) -> None:
    resting = placed(own_world)
    own_world.faults(fault("clock", times=None))
    queued = own_world.submit([row()]).orders[0].client_order_id
    own_world.sandbox.stop()
    down = own_world.cancel(resting, queued, submit__wait_s=0.2)
    assert (down.exit_code, down.report.stop and down.report.stop.code) == (6, "unreachable")
    own_world.sandbox.restart()
    own_world.faults()
    assert own_world.drain().exit_code in (0, 1)
    assert [own_world.order(name).status for name in (resting, queued)] == ["canceled", "unsent"]


def test_an_unknown_name_records_no_cancel_at_all(world: World) -> None:
    name = placed(world)
    with world.opened() as oms, pytest.raises(UnknownOrder):
        oms.cancel([name, "no-such-order"])
    assert asked(world, name) == []
    assert world.order(name).status == "resting"
