"""Design section 4, row by row, for batched creates: one request carries several orders, each answered for itself."""

import json
from typing import Any

import pytest

from oms.app import drive
from tests.contract.worlds import CREATE, CREATE_BATCH, Run, World, fault, row

FOUND = ["recorded", "claimed", "attempt_unknown", "found"]
SINGLY = ["recorded", "claimed", "not_processed", "claimed", "acknowledged"]


def batched(world: World, count: int = 4, **settings: Any) -> Run:
    """Several orders in one request."""
    return world.submit([row(count=str(n)) for n in range(1, count + 1)], submit__batch_size=count, **settings)


def on_batch(kind: str, **more: Any) -> dict[str, Any]:
    return fault(kind, CREATE_BATCH, **more)


def agreed(run: Run, *, book: list[str | None] | None = None, exit_code: int = 0) -> None:
    assert run.exit_code == exit_code, run.report
    assert run.book() == (run.statuses if book is None else book)
    assert not any(order.in_doubt for order in run.orders)


def items_answered(world: World, names: list[str], items: list[dict[str, Any] | None]) -> Run:
    """Rows of those ids, for which the exchange did nothing and answers these items."""
    named = [{"client_order_id": name, **item} for name, item in zip(names, items, strict=True) if item is not None]
    world.faults(on_batch("answer", status=201, body=json.dumps({"orders": named})))
    return world.submit([row(client_order_id=name) for name in names], submit__batch_size=len(names))


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "m", "details": ""}}


def test_every_item_of_a_201_is_a_yes_of_its_own(world: World) -> None:
    before = len(world.sent(CREATE_BATCH))
    run = batched(world)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [["recorded", "claimed", "acknowledged"]] * 4
    assert len(world.sent(CREATE_BATCH)) - before == 1


@pytest.mark.fault(46)
def test_items_in_another_order_are_matched_by_their_ids(world: World) -> None:
    world.faults(on_batch("reorder"))
    run = batched(world)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [["recorded", "claimed", "acknowledged"]] * 4
    real = {x["client_order_id"]: x["order_id"] for x in world.sandbox.orders()}
    assert [order.order_id for order in run.orders] == [real[order.client_order_id] for order in run.orders]


def test_items_that_are_missing_are_unknown_and_the_others_stand(world: World) -> None:
    world.faults(on_batch("omit_items", keep=2))
    run = batched(world)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [["recorded", "claimed", "acknowledged"]] * 2 + [FOUND] * 2


@pytest.mark.fault(46, 48)
@pytest.mark.parametrize("kind", ["no_client_order_id", "no_order_id", "other_client_order_id"])
def test_items_without_the_right_ids_are_looked_up_or_unknown(world: World, kind: str) -> None:
    world.faults(on_batch(kind))
    run = batched(world)
    agreed(run)
    assert run.states == ["accepted"] * 4


@pytest.mark.parametrize("kind", ["empty", "not_json", "cut_body", "cut_headers", "drop"])
def test_a_batched_answer_that_cannot_be_understood_is_unknown_for_each(world: World, kind: str) -> None:
    world.faults(on_batch(kind, commit=True))
    run = batched(world)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [FOUND] * 4


def test_item_errors_are_a_no_unknown_or_a_taken_id_each_for_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"item-{world.serial()}-{n}" for n in range(4)]
    items = [error("insufficient_balance"), error("a_code_nobody_knows"), error("order_already_exists"), None]
    run = items_answered(world, names, items)
    agreed(run, exit_code=5, book=[None, "resting", None, "resting"])
    assert run.states == ["refused", "accepted", "refused", "accepted"]
    assert [run.events(n)[2] for n in range(4)] == ["attempt_refused", "attempt_unknown", "id_taken", "attempt_unknown"]
    assert [order.reason for order in run.orders] == ["refused", None, "id_consumed", None]


def test_an_item_with_both_an_order_and_an_error_is_unknown(world: World) -> None:
    names = [f"both-{world.serial()}-{n}" for n in range(2)]
    both = {"order_id": "11111111-2222-3333-4444-555555555555", **error("insufficient_balance")}
    run = items_answered(world, names, [both, error("insufficient_balance")])
    agreed(run, exit_code=5, book=["resting", None])
    assert run.events(0)[2] == "attempt_unknown"


def test_a_400_for_the_whole_request_sends_each_order_singly(world: World) -> None:
    world.faults(on_batch("answer", status=400, body=json.dumps(error("bad_request"))))
    before = len(world.sent(CREATE))
    run = batched(world)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [SINGLY] * 4
    assert len(world.sent(CREATE)) - before == 4


def test_a_409_exists_for_the_whole_request_is_doubt_for_each(world: World) -> None:
    world.faults(on_batch("answer", status=409, body=json.dumps(error("order_already_exists"))))
    run = batched(world)
    agreed(run)
    assert run.events()[2] == "attempt_unknown"


def test_a_403_for_the_whole_request_rejects_one_order_at_most_a_few(world: World) -> None:
    world.faults(on_batch("forbidden", times=None), fault("forbidden", times=None))
    run = world.submit([row() for _ in range(20)], submit__batch_size=10, submit__concurrency=1)
    assert run.exit_code == 4
    assert run.statuses.count("rejected") <= 3
    assert run.statuses.count("pending") == 20 - run.statuses.count("rejected")
    world.faults()
    agreed(world.drain(submit__batch_size=10))


@pytest.mark.parametrize("kind", ["rate_limited", "clock", "paused"])
def test_a_request_that_was_not_processed_is_made_again_as_a_whole(world: World, kind: str) -> None:
    world.faults(on_batch(kind))
    run = batched(world, submit__wait_s=5)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [SINGLY] * 4


@pytest.mark.fault(53)
@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize("status", [408, 500, 503])
def test_408_and_5xx_for_a_batch_are_unknown_for_each(world: World, status: int, commit: bool) -> None:
    world.faults(on_batch("error", status=status, commit=commit))
    run = batched(world)
    agreed(run)
    after = FOUND if commit else [*FOUND[:3], "absence_proven", "requeued", "claimed", "acknowledged"]
    assert [run.events(n) for n in range(4)] == [after] * 4


@pytest.mark.fault(43)
def test_a_batch_whose_answer_is_late_by_more_than_the_deadline_is_found(world: World) -> None:
    world.faults(on_batch("hang", commit=True, ms=1500))
    run = batched(world, venue__timeout_s=0.4)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [FOUND] * 4


def test_items_of_one_batch_that_fill_and_fail_and_rest_are_told_apart(world: World) -> None:
    rows = [row(price="0.99"), row(ticker="NOSUCH-MARKET"), row(), row(time_in_force="immediate_or_cancel")]
    run = world.submit(rows, submit__batch_size=4)
    agreed(run, exit_code=5, book=["executed", None, "resting", "canceled"])
    assert run.statuses == ["executed", "rejected", "resting", "canceled"]


@pytest.mark.fault(44)
def test_nothing_is_concluded_of_a_batch_while_its_orders_may_still_arrive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "_GRACE_S", 0)
    world.faults(on_batch("late", ms=900))
    run = batched(world, submit__in_flight_horizon_s=1.6)
    agreed(run)
    assert [run.events(n) for n in range(4)] == [FOUND] * 4
