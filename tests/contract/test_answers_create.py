"""Design section 4, row by row, for single creates: real HTTP, the real submitter, the exchange's faults.

Each test is one way for a request to end. It asserts what the ledger recorded, the state of the command, the status
of the order, the exit code, and what the exchange holds when all has settled: one order, or none.
"""

import json
from typing import Any

import pytest

from oms.app import drive
from tests.contract.worlds import CREATE, LIST, Run, World, fault, row

FOUND = ["recorded", "claimed", "attempt_unknown", "found"]
SENT_AGAIN = [*FOUND[:3], "absence_proven", "requeued", "claimed", "acknowledged"]


def settled(run: Run, *, book: list[str | None] | None = None, exit_code: int = 0) -> None:
    """The run is over, and ledger and exchange agree about every order."""
    assert run.exit_code == exit_code, run.report
    expected = [order.status for order in run.orders] if book is None else book
    assert run.book() == expected
    assert not any(order.in_doubt for order in run.orders)


def answer(status: int, body: Any = "", **more: Any) -> dict[str, Any]:
    """The exchange answers exactly this, and does nothing."""
    text = body if isinstance(body, str) else json.dumps(body)
    return fault("answer", status=status, body=text, **more)


def error(code: str, message: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


# -- 2xx


def test_201_that_echoes_our_id_is_a_yes(world: World) -> None:
    run = world.submit([row()])
    settled(run)
    assert run.events() == ["recorded", "claimed", "acknowledged"]
    assert (run.states, run.statuses) == (["accepted"], ["resting"])


def test_201_of_an_order_that_filled_at_once_is_executed(world: World) -> None:
    run = world.submit([row(price="0.99", count="2")])
    settled(run)
    (order,) = run.orders
    assert (order.status, order.fill_count, order.remaining_count) == ("executed", "2.00", "0.00")


def test_201_of_an_order_that_could_not_rest_is_canceled(world: World) -> None:
    run = world.submit([row(time_in_force="immediate_or_cancel")])
    settled(run)
    (order,) = run.orders
    assert (order.status, order.fill_count, order.remaining_count) == ("canceled", "0.00", "0.00")


@pytest.mark.fault(48)
def test_201_without_our_id_is_a_yes_once_the_order_was_read(world: World) -> None:
    world.faults(fault("no_client_order_id"))
    run = world.submit([row()])
    settled(run)
    assert run.events() == ["recorded", "claimed", "acknowledged"]


@pytest.mark.fault(48)
def test_201_without_our_id_that_cannot_be_read_is_found_by_the_scan(world: World) -> None:
    world.faults(fault("no_client_order_id"), fault("error", "GetOrder", times=None))
    run = world.submit([row()])
    settled(run)
    assert run.events() == FOUND


@pytest.mark.fault(47, 48)
def test_2xx_that_cannot_be_understood_is_unknown_until_the_order_is_found(world: World) -> None:
    kinds = ("no_order_id", "other_client_order_id", "empty", "cut_body", "cut_headers", "not_json")
    run = world.submit_each({kind: fault(kind) for kind in kinds})
    settled(run)
    assert [run.events(n) for n in range(len(kinds))] == [FOUND] * len(kinds)
    assert run.states == ["accepted"] * len(kinds)


@pytest.mark.fault(48)
def test_a_status_the_exchange_never_gives_is_unknown_though_the_order_was_placed(world: World) -> None:
    statuses = (202, 204, 206, 301, 302, 307)
    run = world.submit_each({str(status): fault("status", status=status) for status in statuses})
    settled(run)
    assert [run.events(n) for n in range(len(statuses))] == [FOUND] * len(statuses)


@pytest.mark.fault(48)
def test_2xx_that_cannot_be_understood_for_an_order_that_never_was_is_proven_absent(world: World) -> None:
    run = world.submit_each({"empty": answer(201), "nothing but headers": fault("cut_headers", commit=False)})
    settled(run)
    assert [run.events(n) for n in range(2)] == [SENT_AGAIN] * 2
    assert [order.attempts for order in run.orders] == [2, 2]


@pytest.mark.fault(48)
def test_a_redirect_is_not_followed_and_is_unknown(world: World) -> None:
    world.faults(fault("redirect", body="/trade-api/v2/portfolio/events/orders"))
    before = len(world.sent())
    run = world.submit([row()])
    settled(run)
    assert run.events() == SENT_AGAIN
    assert len(world.sent()) - before == 2


# -- refusals


@pytest.mark.fault(49, 52)
def test_a_refusal_with_the_exchanges_own_code_is_a_definite_no(world: World) -> None:
    refusals = {
        "insufficient_balance": 400,
        "some_code_nobody_has_heard_of": 400,
        "market_not_found": 404,
        "fill_or_kill_insufficient_resting_volume": 409,
    }
    run = world.submit_each(
        {code: answer(status, error(code, "so it is")) for code, status in refusals.items()}
        | {"none": fault("delay", ms=0)}
    )
    settled(run, exit_code=5, book=[None] * 4 + ["resting"])
    assert [run.events(n) for n in range(4)] == [["recorded", "claimed", "attempt_refused"]] * 4
    assert run.states == ["refused"] * 4 + ["accepted"]
    assert run.statuses == ["rejected"] * 4 + ["resting"]
    assert [(order.reason, order.detail) for order in run.orders[:4]] == [
        ("refused", f"{code}: so it is") for code in refusals
    ]


def test_a_refusal_is_read_in_every_form_the_exchange_has(world: World) -> None:
    flat, nested = {"code": "invalid_order", "message": "m"}, {"error": {"code": "invalid_order"}}
    run = world.submit_each({"flat": answer(400, flat), "nested": answer(400, nested)})
    settled(run, exit_code=5, book=[None, None])
    assert run.statuses == ["rejected", "rejected"]


@pytest.mark.fault(49, 52)
def test_a_refusal_without_a_code_is_unknown(world: World) -> None:
    page, form = "<html>denied by the proxy</html>", {"content-type": "text/html"}
    statuses = (400, 403, 404, 409, 410)
    run = world.submit_each({str(status): answer(status, page, headers=form) for status in statuses})
    settled(run)
    assert [run.events(n) for n in range(len(statuses))] == [SENT_AGAIN] * len(statuses)


@pytest.mark.fault(53)
def test_a_4xx_that_is_not_the_exchanges_is_unknown_whatever_its_body_says(world: World) -> None:
    statuses = (402, 405, 407, 413, 415, 422, 451)
    run = world.submit_each({str(status): answer(status, error("invalid_order")) for status in statuses})
    settled(run)
    assert [run.events(n) for n in range(len(statuses))] == [SENT_AGAIN] * len(statuses)


@pytest.mark.fault(52)
def test_a_code_that_may_hide_an_order_is_unknown(world: World) -> None:
    codes = ("exchange_unavailable", "duplicate_client_order_id", "client_order_id_already_exists")
    run = world.submit_each({code: answer(409, error(code)) for code in codes})
    settled(run)
    assert [run.events(n)[2] for n in range(len(codes))] == ["attempt_unknown"] * len(codes)


@pytest.mark.fault(50)
def test_403_stops_sending_and_leaves_the_rest_queued(world: World) -> None:
    world.faults(fault("forbidden", times=None))
    before = len(world.sent())
    run = world.submit([row() for _ in range(30)], submit__concurrency=1)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (4, "credentials")
    assert run.statuses.count("rejected") == len(world.sent()) - before <= 2
    assert run.statuses.count("pending") == 30 - run.statuses.count("rejected") == run.report.queued
    world.faults()
    rest = world.drain()
    assert rest.exit_code == 0
    settled(rest)


@pytest.mark.fault(51)
def test_410_stops_sending_and_leaves_the_rest_queued(world: World) -> None:
    world.faults(fault("gone", times=None))
    run = world.submit([row() for _ in range(10)], submit__concurrency=1)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (5, "refusals")
    assert run.statuses.count("rejected") <= 2
    assert run.report.queued == run.statuses.count("pending") >= 8
    world.faults()
    settled(world.drain())


def test_ten_refusals_in_a_row_with_one_code_stop_sending(world: World) -> None:
    world.faults(answer(400, error("market_already_closed"), times=None))
    run = world.submit([row() for _ in range(30)], submit__concurrency=1)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (5, "refusals")
    assert 10 <= run.statuses.count("rejected") <= 12
    assert run.report.queued == run.statuses.count("pending") == 30 - run.statuses.count("rejected")
    world.faults()
    settled(world.drain())


def test_ten_refusals_with_changing_codes_do_not_stop_sending(world: World) -> None:
    codes = [answer(400, error(f"code_{n % 2}"), nth=n + 1) for n in range(12)]
    for n, rule in enumerate(codes):
        rule["match"] |= {"nth": 1, "times": 1, "client_order_id": f"-{n:02d}$"}
    world.faults(*codes)
    name = f"changing{id(codes)}"
    run = world.submit([row(client_order_id=f"{name}-{n:02d}") for n in range(14)], submit__concurrency=1)
    assert (run.exit_code, run.report.stop) == (5, None)
    assert run.statuses == ["rejected"] * 12 + ["resting"] * 2


# -- 401, 429, 408, 5xx


@pytest.mark.fault(50)
def test_401_once_is_a_new_attempt(world: World) -> None:
    world.faults(fault("clock"))
    run = world.submit([row()])
    settled(run)
    assert run.events() == ["recorded", "claimed", "not_processed", "claimed", "acknowledged"]


@pytest.mark.fault(50)
def test_401_for_everything_under_way_is_a_new_attempt_for_each(world: World) -> None:
    world.faults(fault("clock", times=4))
    run = world.submit([row() for _ in range(8)], submit__concurrency=4)
    settled(run)
    assert run.statuses == ["resting"] * 8


@pytest.mark.fault(50)
def test_401_again_stops_sending_with_everything_queued(world: World) -> None:
    world.faults(fault("clock", times=None))
    before = len(world.sent())
    run = world.submit([row() for _ in range(300)], submit__concurrency=2)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (4, "credentials")
    assert run.statuses == ["pending"] * 300
    assert run.report.queued == 300
    assert len(world.sent()) - before < 20, "a refused key is not tried on every order"
    world.faults()
    settled(world.drain(submit__batch_size=50))


@pytest.mark.fault(54)
def test_429_is_sent_again_and_drains_the_local_bucket(world: World) -> None:
    world.faults(fault("rate_limited", times=2))
    run = world.submit([row()])
    settled(run)
    assert run.events() == ["recorded", *["claimed", "not_processed"] * 2, "claimed", "acknowledged"]


@pytest.mark.fault(54)
def test_429_without_end_gives_up_after_wait_s_with_everything_queued(world: World) -> None:
    world.faults(fault("rate_limited", times=None))
    before = len(world.sent())
    run = world.submit([row(), row()])
    assert run.exit_code == 6
    assert run.statuses == ["pending", "pending"]
    assert len(world.sent()) - before < 20, "no storm"
    world.faults()
    settled(world.drain())


@pytest.mark.fault(53)
@pytest.mark.parametrize("commit", [False, True])
def test_408_and_5xx_are_unknown_before_and_after_the_order_was_placed(world: World, commit: bool) -> None:
    statuses = (408, 500, 502, 503, 504)
    kinds = {status: "html" if status == 502 else "error" for status in statuses}
    run = world.submit_each({str(s): fault(kind, status=s, commit=commit) for s, kind in kinds.items()})
    settled(run)
    assert [run.events(n) for n in range(len(statuses))] == [FOUND if commit else SENT_AGAIN] * len(statuses)


# -- no answer


@pytest.mark.fault(43)
@pytest.mark.parametrize("commit", [False, True])
def test_no_answer_within_the_deadline_is_unknown(world: World, commit: bool) -> None:
    world.faults(fault("hang", commit=commit, ms=3000))
    run = world.submit([row()], venue__timeout_s=0.5)
    settled(run)
    assert run.events() == (FOUND if commit else SENT_AGAIN)


@pytest.mark.fault(55)
def test_an_answer_that_trickles_past_the_deadline_is_unknown(world: World) -> None:
    world.faults(fault("trickle", ms=50))
    run = world.submit([row()], venue__timeout_s=0.4)
    settled(run)
    assert run.events() == FOUND


@pytest.mark.fault(42)
@pytest.mark.parametrize("commit", [False, True])
def test_a_connection_that_ends_without_an_answer_is_unknown(world: World, commit: bool) -> None:
    run = world.submit_each({str(reset): fault("drop", commit=commit, reset=reset) for reset in (False, True)})
    settled(run)
    assert [run.events(n) for n in range(2)] == [FOUND if commit else SENT_AGAIN] * 2


@pytest.mark.fault(44)
def test_a_request_that_arrives_late_is_waited_for_and_never_sent_twice(world: World) -> None:
    world.faults(fault("late", ms=700))
    before = len(world.sent())
    run = world.submit([row()], submit__in_flight_horizon_s=1.5)
    settled(run)
    assert run.events() == FOUND
    assert [each["arrival_of"] is not None for each in world.sent()[before:]] == [False, True]


@pytest.mark.fault(45)
def test_the_same_bytes_delivered_twice_are_one_order(world: World) -> None:
    world.faults(fault("duplicate", ms=0))
    run = world.submit([row()])
    settled(run)
    assert run.events() == ["recorded", "claimed", "acknowledged"]


@pytest.mark.fault(60)
def test_a_read_that_lags_is_waited_for(world: World) -> None:
    world.sandbox.control(read_lag_ms=500)
    world.faults(fault("drop", commit=True))
    run = world.submit([row()])
    settled(run)
    assert run.events() == FOUND


@pytest.mark.fault(41)
def test_an_exchange_that_is_down_leaves_everything_queued(own_world: World) -> None:
    assert own_world.submit([row()]).exit_code == 0
    own_world.sandbox.stop()
    run = own_world.submit([row(), row()], submit__wait_s=0.3)
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (6, "unreachable")
    assert run.states == ["queued", "queued"]
    assert run.report.queued == 2
    assert [order.attempts for order in run.orders] == [0, 0]
    own_world.sandbox.restart()
    settled(own_world.drain())


@pytest.mark.fault(59, 61)
@pytest.mark.parametrize("kind", ["empty_list", "not_json"])
def test_a_listing_that_cannot_be_trusted_concludes_nothing(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "_GRACE_S", 0.3)
    assert world.submit([row()]).exit_code == 0  # the witness that an honest listing would show
    before = len(world.sent())
    world.faults(fault("drop"), fault(kind, LIST, nth=2, times=None))
    run = world.submit([row()], submit__in_flight_horizon_s=1.5, venue__timeout_s=0.3)
    assert run.exit_code == 3
    assert (run.states, run.statuses, run.orders[0].in_doubt) == (["in_doubt"], ["pending"], True)
    assert len(world.sent()) - before == 1
    world.faults()
    settled(world.drain())


# -- 409


@pytest.mark.fault(52, 66)
@pytest.mark.parametrize("what", ["trading", "exchange"])
def test_409_paused_waits_for_the_exchanges_status_and_goes_on(world: World, what: str) -> None:
    world.faults(fault("paused", what=what))
    run = world.submit([row()], submit__wait_s=5)
    settled(run)
    assert run.events() == ["recorded", "claimed", "not_processed", "claimed", "acknowledged"]


@pytest.mark.fault(66)
@pytest.mark.parametrize("pause", ["trading", "exchange"])
def test_an_exchange_that_stays_paused_leaves_everything_queued(world: World, pause: str) -> None:
    world.sandbox.control(pause=pause)
    before = len(world.sent())
    run = world.submit([row() for _ in range(3)])
    assert (run.exit_code, run.report.stop and run.report.stop.code) == (6, "paused")
    assert run.states == ["queued"] * 3
    assert len(world.sent()) - before <= 4, "it asks the status, not the orders"
    world.sandbox.control(pause="none")
    settled(world.drain())


@pytest.mark.fault(66, 74)
def test_an_order_that_expires_during_a_pause_ends_the_run_as_unsent(world: World) -> None:
    world.sandbox.control(pause="trading")
    run = world.submit([row()], submit__ttl_s=0.5, submit__wait_s=30)
    settled(run, exit_code=1, book=[None])
    assert (run.statuses, run.orders[0].reason) == (["unsent"], "expired")


@pytest.mark.fault(43, 52)
def test_409_exists_after_a_lost_answer_is_our_own_order(world: World) -> None:
    world.faults(fault("drop", commit=True))
    run = world.submit([row()], submit__resend="at_once")
    settled(run)
    assert run.states == ["accepted"]
    assert set(run.events()) >= {"attempt_unknown", "found"}


@pytest.mark.fault(52)
def test_409_exists_for_a_derived_id_is_that_order_however_old_it_is(own_world: World) -> None:
    """Another ledger had placed the same file long before; the scan went back to our own first attempt only."""
    first = own_world.submit([row(), row()], name="shared")
    own_world.sandbox.control(clock_offset_ms=60_000)
    own_world.faults(fault("empty_list", LIST))  # so that this ledger has read the account and not seen them
    elsewhere = World(own_world.sandbox, own_world.directory)
    assert elsewhere.submit([row()], name="other").exit_code == 0
    own_world.sandbox.control(clock_offset_ms=3_600_000)
    run = elsewhere.submit([row(), row()], name="shared")
    settled(run)
    assert run.states == ["accepted", "accepted"]
    assert [order.order_id for order in run.orders] == [order.order_id for order in first.orders]
    assert run.events()[-3:] == ["claimed", "id_taken", "found"]


def test_409_exists_for_a_callers_own_id_that_matches_is_found(world: World) -> None:
    name = f"own-match-{id(world)}"
    world.faults(fault("drop", commit=True))
    run = world.submit([row(client_order_id=name)], submit__resend="at_once")
    settled(run)
    assert run.orders[0].client_order_id == name


def foreign(world: World, name: str, **settings: Any) -> Run:
    """A stranger's order takes the id between our recording and our request: it is parked."""
    world.faults(fault("empty_list", LIST, times=2))
    created = world.sandbox.create(client_order_id=name, count="7.00")
    assert created.status_code == 201
    run = world.submit([row(client_order_id=name)], **settings)
    assert run.exit_code == 3
    assert (run.states, run.orders[0].in_doubt, run.orders[0].reason) == (["parked"], True, "conflict")
    assert run.events()[-2:] == ["id_taken", "found_foreign"]
    world.faults()
    return run


@pytest.mark.fault(69)
def test_409_exists_for_a_callers_own_id_that_cannot_be_ours_is_parked_and_resolved_as_absent(world: World) -> None:
    run = foreign(world, f"own-foreign-a-{id(world)}")
    with world.opened() as oms:
        order = oms.resolve(run.orders[0].client_order_id, absent=True)
    assert (order.state, order.status, order.in_doubt, order.reason) == ("absent", "unsent", False, "resolved_by_hand")
    assert world.drain().exit_code == 0
    assert run.book() == ["resting"], "the stranger's order is left alone"


@pytest.mark.fault(69)
def test_409_exists_for_a_callers_own_id_that_cannot_be_ours_is_parked_and_resolved_as_that_order(world: World) -> None:
    run = foreign(world, f"own-foreign-b-{id(world)}")
    name = run.orders[0].client_order_id
    (theirs,) = [each for each in world.sandbox.orders() if each["client_order_id"] == name]
    with world.opened() as oms:
        order = oms.resolve(name, order_id=theirs["order_id"])
    assert (order.state, order.status, order.in_doubt) == ("accepted", "resting", False)
    assert order.order_id == theirs["order_id"]


def blind(world: World, **how: Any) -> None:
    """Create number one is taken and its answer lost; from the second listing on the account looks empty."""
    dropped = {"match": {"operation": "CreateOrderV2"}, "fault": {"kind": "drop", "commit": True}}
    empty = {"match": {"operation": LIST, "nth": 2, "times": None}, "fault": "empty_list"}
    world.sandbox.control(faults=[dropped, empty], **how)


@pytest.mark.fault(59)
def test_an_empty_listing_proves_nothing_of_a_lone_order_where_older_ones_must_be_in_it(own_world: World) -> None:
    """The span since the attempt has no witness; the newest order that is known to be there must be seen as well."""
    assert own_world.submit([row()]).exit_code == 0
    own_world.sandbox.control(clock_offset_ms=120_000)
    blind(own_world, dedupe="open_only")
    run = own_world.submit([row(price="0.99", client_order_id="lone")])
    assert (run.exit_code, run.orders[0].in_doubt) == (3, True)
    own_world.sandbox.control(faults=[])
    assert own_world.drain().exit_code == 0
    assert [x["client_order_id"] for x in own_world.sandbox.orders()].count("lone") == 1
    assert own_world.order("lone").status == "executed"


@pytest.mark.fault(51, 59)
def test_the_retry_of_an_order_that_turns_up_after_all_is_not_sent(own_world: World) -> None:
    blind(own_world)
    run = own_world.submit([row(price="0.99", client_order_id="first")], name="b")
    assert (run.exit_code, run.orders[0].reason) == (5, "id_consumed")
    own_world.sandbox.control(faults=[])
    with own_world.opened() as oms:
        report = oms.retry("b")
        (again,) = oms.run_orders(report)
    assert (again.status, again.reason) == ("unsent", "retried")
    assert any("retries are not sent" in note for note in report.notes)
    assert len(own_world.sandbox.orders()) == 1
    assert (own_world.order("first").status, own_world.order("first").late) == ("executed", True)


@pytest.mark.fault(52, 67)
def test_409_exists_for_an_order_that_is_nowhere_ends_as_consumed_and_is_never_sent_again(world: World) -> None:
    world.faults(answer(409, error("order_already_exists"), times=None))
    before = len(world.sent())
    run = world.submit([row()])
    settled(run, exit_code=5, book=[None])
    assert (run.states, run.statuses, run.orders[0].reason) == (["refused"], ["rejected"], "id_consumed")
    assert run.events() == ["recorded", "claimed", "id_taken", "absence_proven"]
    assert len(world.sent()) - before == 1


# -- resend


def test_never_ends_an_absent_order_as_unsent(world: World) -> None:
    world.faults(fault("drop"))
    run = world.submit([row()], submit__resend="never")
    settled(run, exit_code=1, book=[None])
    assert (run.states, run.statuses, run.orders[0].reason) == (["absent"], ["unsent"], "proven_absent")


def test_at_once_is_settled_by_the_201_of_the_second_attempt(world: World) -> None:
    world.faults(fault("drop"))
    run = world.submit([row()], submit__resend="at_once", submit__in_flight_horizon_s=30)
    settled(run)
    assert run.events() == ["recorded", "claimed", "attempt_unknown", "claimed", "acknowledged"]


def test_every_attempt_of_an_order_sends_the_same_bytes(world: World) -> None:
    world.faults(fault("error"), fault("drop", nth=2))
    run = world.submit([row()])
    settled(run)
    ours = [each for each in world.sent(CREATE) if run.orders[0].client_order_id in each["client_order_ids"]]
    assert len(ours) >= 2
    assert len({each["body_sha256"] for each in ours}) == 1
    assert len({each["signed_ms"] for each in ours}) == len(ours)
