"""The ledger's view against the exchange's, case by case: what is recognized, what is absent, what does not fit."""

from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec
import pytest

from oms import compare
from oms.compare import Policy, View
from oms.lifecycle import events as e
from oms.lifecycle.states import Command, CommandKind, CommandState, Order, OrderStatus, Reason, Resend, Terms

SIGNED, HORIZON = 1_000_000, 3_000
FENCE = SIGNED + HORIZON
IN_DOUBT = Command(
    CommandKind.CREATE,
    CommandState.IN_DOUBT,
    attempts=1,
    live=(1,),
    epoch=1,
    first_signed_ms=SIGNED,
    last_signed_ms=SIGNED,
)
PENDING = Order(count_e2=100, price_e6=10_000)
SEEN = e.Snapshot(
    order_id="o1",
    client_order_id="c1",
    ticker="T",
    side="bid",
    status="resting",
    price_e6=10_000,
    initial_count_e2=100,
    fill_count_e2=0,
    remaining_count_e2=100,
    created_ts_ms=SIGNED + 5,
    updated_ts_ms=SIGNED + 5,
)


@dataclass(frozen=True)
class Known:
    """One command and its order, as much of it as compare asks for."""

    command: Command = IN_DOUBT
    order: Order = PENDING
    order_key: int = 1
    client_order_id: str = "c1"
    ticker: str = "T"
    side: str = "bid"
    price_e6: int = 10_000
    count_e2: int = 100
    own_id: bool = False
    recorded_at_us: int = (SIGNED - 1_000) * 1000
    expires_at_us: int | None = None


LIVE = Order(
    price_e6=10_000,
    count_e2=100,
    status=OrderStatus.RESTING,
    order_id="o1",
    remaining_count_e2=100,
    fees_e6=0,
    fact_ts_ms=SIGNED + 5,
    created_ts_ms=SIGNED + 5,
)
ACCEPTED = Known(command=msgspec.structs.replace(IN_DOUBT, state=CommandState.ACCEPTED, live=()), order=LIVE)


def seen(**changes: object) -> e.Snapshot:
    return msgspec.structs.replace(SEEN, **changes)


def command(**changes: object) -> Command:
    return msgspec.structs.replace(IN_DOUBT, **changes)


def order(**changes: object) -> Order:
    return msgspec.structs.replace(LIVE, **changes)


# -- recognizing

OTHER_FIELDS = {
    "ticker": seen(ticker="U"),
    "side": seen(side="ask"),
    "price": seen(price_e6=20_000),
    "count": seen(initial_count_e2=200),
}


@pytest.mark.parametrize("state", [s for s in CommandState if s is not CommandState.ACCEPTED])
def test_a_derived_id_is_proof_in_every_state_and_whatever_else_differs(state: CommandState) -> None:
    for shown in (SEEN, *OTHER_FIELDS.values(), seen(created_ts_ms=1)):
        found = compare.recognize(Known(command=command(state=state)), shown, 7, "orders")
        assert found == e.Found(source="orders", as_of_ms=7, order=shown)


def test_a_callers_own_id_is_proof_together_with_its_fields_and_its_age() -> None:
    known = Known(own_id=True)
    assert isinstance(compare.recognize(known, SEEN, 7, "orders"), e.Found)
    assert isinstance(compare.recognize(known, seen(created_ts_ms=None), 7, "orders"), e.Found)
    for field, shown in OTHER_FIELDS.items():
        found = compare.recognize(known, shown, 7, "orders")
        assert found == e.FoundForeign(source="orders", as_of_ms=7, order=shown, differs=field)
    all_at_once = seen(ticker="U", side="ask", price_e6=1, initial_count_e2=1, created_ts_ms=1)
    found = compare.recognize(known, all_at_once, 7, "orders")
    assert isinstance(found, e.FoundForeign)
    assert found.differs == "ticker, side, price, count, created_time"


@pytest.mark.parametrize(("created_ms", "is_ours"), [(SIGNED, True), (SIGNED - 29_000, True), (SIGNED - 31_000, False)])
def test_the_age_of_a_callers_order_is_told_by_the_exchanges_clock_not_by_ours(created_ms: int, is_ours: bool) -> None:
    """A local clock that was a minute ahead made every order of ours look older than its record."""
    for recorded_ms in (SIGNED - 3_600_000, SIGNED + 60_000):
        known = Known(own_id=True, recorded_at_us=recorded_ms * 1000)
        found = compare.recognize(known, seen(created_ts_ms=created_ms), 7, "orders")
        assert isinstance(found, e.Found) is is_ours


def test_an_order_never_sent_is_compared_with_its_recording() -> None:
    queued = Command(CommandKind.CREATE)
    known = Known(command=queued, own_id=True)
    assert isinstance(compare.recognize(known, SEEN, 7, "orders"), e.Found)
    old = seen(created_ts_ms=SIGNED - 60_000)
    assert isinstance(compare.recognize(known, old, 7, "orders"), e.FoundForeign)


@pytest.mark.parametrize("state", CommandState)
def test_a_foreign_order_parks_once_and_nothing_that_has_ended(state: CommandState) -> None:
    known = Known(command=command(state=state), own_id=True)
    found = compare.recognize(known, OTHER_FIELDS["price"], 7, "orders")
    ended = (CommandState.PARKED, CommandState.ACCEPTED, CommandState.REFUSED, CommandState.WITHDRAWN)
    assert (found is None) is (state in ended)


def test_a_foreign_order_is_not_held_against_what_a_person_has_decided() -> None:
    decided = command(state=CommandState.ABSENT, live=(), reason=Reason.RESOLVED_BY_HAND)
    assert compare.recognize(Known(command=decided, own_id=True), OTHER_FIELDS["price"], 7, "orders") is None


def test_an_accepted_order_is_observed_only_when_the_read_tells_something_new() -> None:
    later = SIGNED + 10
    assert compare.recognize(ACCEPTED, SEEN, later, "orders") is None
    filled = seen(fill_count_e2=50, remaining_count_e2=50, updated_ts_ms=later)
    assert compare.recognize(ACCEPTED, filled, later, "orders") == e.Observed(
        source="orders", as_of_ms=later, order=filled
    )
    assert compare.recognize(ACCEPTED, filled, SIGNED, "orders") is not None, "it is younger than the time asked before"
    older = seen(fill_count_e2=50, remaining_count_e2=50, updated_ts_ms=SIGNED)
    assert compare.recognize(ACCEPTED, older, SIGNED, "orders") is None, "older than what is known"


def test_a_second_order_id_is_told_once() -> None:
    second = seen(order_id="o2")
    found = compare.recognize(ACCEPTED, second, 7, "orders")
    assert found == e.Observed(source="orders", as_of_ms=7, order=second)
    noted = replace(ACCEPTED, order=order(detail="a second order under this id: o2"))
    assert compare.recognize(noted, second, 7, "orders") is None


# -- absence

PROOF = View(as_of_ms=FENCE, min_ts_ms=SIGNED - HORIZON, is_complete=True, order_ids={"x"}, client_order_ids={"y"})


def proves(view: View, known: Known | None = None, missing: tuple[str, ...] = ()) -> bool:
    return compare.proves_absence(known or Known(), view, missing, HORIZON)


def test_absence_is_proven_by_a_fenced_complete_witnessed_scan_of_the_right_key() -> None:
    assert proves(PROOF)
    assert proves(replace(PROOF, min_ts_ms=None))
    assert proves(replace(PROOF, order_ids=set(), client_order_ids=set()))


@pytest.mark.parametrize(
    "lacking",
    [
        replace(PROOF, as_of_ms=FENCE - 1),
        replace(PROOF, min_ts_ms=SIGNED - HORIZON + 1),
        replace(PROOF, is_complete=False),
        replace(PROOF, unreadable=1),
        replace(PROOF, sees_all=False),
        replace(PROOF, client_order_ids={"c1"}),
    ],
    ids=["fence", "span", "completeness", "unreadable item", "narrower key", "it is there"],
)
def test_each_condition_of_the_proof_is_needed(lacking: View) -> None:
    assert not proves(lacking)


def test_a_missing_witness_voids_the_proof() -> None:
    assert not proves(PROOF, missing=("o9",))


def test_the_fence_counts_from_the_latest_attempt_and_the_span_from_the_earliest() -> None:
    twice = Known(command=command(attempts=2, live=(1, 2), last_signed_ms=SIGNED + 500))
    assert not proves(PROOF, twice)
    assert proves(replace(PROOF, as_of_ms=FENCE + 500), twice)
    assert not proves(replace(PROOF, as_of_ms=FENCE + 500, min_ts_ms=SIGNED - HORIZON + 1), twice)


def test_after_a_409_only_a_scan_of_everything_proves_absence() -> None:
    taken = Known(command=command(id_taken=True))
    assert not proves(replace(PROOF, min_ts_ms=0), taken)
    assert proves(replace(PROOF, min_ts_ms=None), taken)


@pytest.mark.parametrize(
    ("created_ms", "is_demanded"),
    [
        (PROOF.min_ts_ms or 0, False),
        ((PROOF.min_ts_ms or 0) + 1_999, False),
        ((PROOF.min_ts_ms or 0) + 2_000, True),
        (FENCE, True),
        (FENCE + 1, False),
    ],
)
def test_a_witness_is_demanded_within_the_span_but_not_at_its_edge(created_ms: int, is_demanded: bool) -> None:
    assert bool(compare.missing_witnesses({"o9": created_ms}, PROOF)) is is_demanded
    assert compare.missing_witnesses({"o9": created_ms}, replace(PROOF, order_ids={"o9"})) == []


def test_every_known_order_is_demanded_of_a_scan_of_everything() -> None:
    assert compare.missing_witnesses({"o8": 0, "o9": FENCE}, replace(PROOF, min_ts_ms=None)) == ["o8", "o9"]


# -- what follows from absence


def policy(**changes: object) -> Policy:
    return replace(Policy(horizon_ms=HORIZON, resend=Resend.WHEN_ABSENT, now_us=50), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "how", "reason"),
    [
        (Known(), policy(), None),
        (Known(), policy(resend=Resend.AT_ONCE), None),
        (Known(expires_at_us=51), policy(), None),
        (Known(command=command(attempts=49)), policy(), None),
        (Known(), policy(cancel_asked={2}), None),
        (Known(), policy(resend=Resend.NEVER), Reason.PROVEN_ABSENT),
        (Known(command=command(attempts=50)), policy(), Reason.PROVEN_ABSENT),
        (Known(expires_at_us=50), policy(), Reason.EXPIRED),
        (Known(), policy(cancel_asked={1}), Reason.CANCEL_REQUESTED),
        (Known(command=command(id_taken=True)), policy(), Reason.ID_CONSUMED),
        (Known(command=command(id_taken=True), expires_at_us=1), policy(cancel_asked={1}), Reason.ID_CONSUMED),
    ],
)
def test_an_absent_order_is_sent_again_or_ends_for_a_reason(known: Known, how: Policy, reason: Reason | None) -> None:
    proven, *rest = compare.conclude_absence(known, PROOF, 4, how)
    assert isinstance(proven, e.AbsenceProven)
    assert (proven.as_of_ms, proven.fence_ms, proven.orders_seen, proven.witnesses) == (FENCE, FENCE, 1, 4)
    if reason is None:
        assert (proven.final, rest) == (False, [e.Requeued()])
    else:
        assert (proven.final, proven.reason, rest) == (True, reason, [])


# -- cancels

CANCEL = command(kind=CommandKind.CANCEL)


def settled(
    shown: e.Snapshot | None, as_of_ms: int = FENCE, known: Known | None = None, how: Policy | None = None
) -> list[str]:
    known = known or Known(command=CANCEL, order=LIVE)
    return [e.kind_of(event) for event in compare.settle_change(known, shown, as_of_ms, how or policy())]


def test_a_cancel_is_settled_by_what_a_read_of_the_order_shows() -> None:
    assert settled(seen(status="canceled")) == ["effect_seen"]
    assert settled(seen(status="canceled"), SIGNED) == ["effect_seen"], "an effect seen needs no fence"
    assert settled(seen(status="executed")) == ["observed", "moot"]
    assert settled(SEEN, FENCE - 1) == []
    assert settled(SEEN) == ["effect_absent", "requeued"]
    assert settled(seen(status="a new word")) == ["effect_absent", "requeued"]


def test_a_404_or_another_order_says_nothing_about_a_cancel() -> None:
    assert settled(None) == []
    assert settled(seen(order_id="o2", status="canceled")) == []


@pytest.mark.parametrize("status", ["executed", "canceled", "rejected", "unsent"])
def test_the_cancel_of_an_order_that_has_ended_is_moot_without_a_read(status: str) -> None:
    ended = Known(command=CANCEL, order=order(status=OrderStatus(status)))
    assert settled(None, 0, ended) == ["moot"]


def test_a_cancel_without_effect_is_given_up_after_its_last_attempt() -> None:
    last = Known(command=msgspec.structs.replace(CANCEL, attempts=compare.MAX_CHANGE_ATTEMPTS), order=LIVE)
    assert settled(SEEN, FENCE, last) == ["effect_absent"]


# -- amends and decreases

AMEND = command(kind=CommandKind.AMEND, terms=Terms(price_e6=20_000, count_e2=300))
DECREASE = command(kind=CommandKind.DECREASE, terms=Terms(reduce_to_e2=40))


def changed(kind: Command, shown: e.Snapshot | None, as_of_ms: int = FENCE, **how: object) -> list[str]:
    return settled(shown, as_of_ms, Known(command=kind, order=LIVE), policy(**how))


def test_an_amend_is_settled_by_a_read_that_is_past_its_fence() -> None:
    there = seen(price_e6=20_000, fill_count_e2=100, remaining_count_e2=200)
    assert changed(AMEND, there) == ["effect_seen"]
    assert changed(AMEND, there, FENCE - 1) == [], "a read from before may show the terms of an earlier amend"
    assert changed(AMEND, seen(price_e6=20_000, remaining_count_e2=200)) == ["effect_absent", "requeued"]
    assert changed(AMEND, seen(remaining_count_e2=300)) == ["effect_absent", "requeued"]
    assert changed(AMEND, None) == []
    assert changed(AMEND, seen(order_id="o2", price_e6=20_000, remaining_count_e2=300)) == []


def test_a_decrease_is_done_when_no_more_remains_than_it_allows() -> None:
    assert changed(DECREASE, seen(remaining_count_e2=40)) == ["effect_seen"]
    assert changed(DECREASE, seen(fill_count_e2=80, remaining_count_e2=20)) == ["effect_seen"]
    assert changed(DECREASE, seen(remaining_count_e2=41)) == ["effect_absent", "requeued"]


def test_an_amend_of_the_expiry_alone_is_seen_by_the_expiry() -> None:
    terms = Terms(price_e6=10_000, count_e2=100, expiration_time=77)
    amend = command(kind=CommandKind.AMEND, terms=terms)
    assert changed(amend, seen(expiration_time=77)) == ["effect_seen"]
    assert changed(amend, seen(expiration_time=78)) == ["effect_absent", "requeued"]
    cleared = command(kind=CommandKind.AMEND, terms=msgspec.structs.replace(terms, expiration_time=0))
    assert changed(cleared, seen(expiration_time=None)) == ["effect_seen"]


@pytest.mark.parametrize("status", ["executed", "canceled"])
def test_a_change_of_an_order_that_ended_first_is_moot(status: str) -> None:
    assert changed(AMEND, seen(status=status, remaining_count_e2=0)) == ["observed", "moot"]
    assert settled(None, 0, Known(command=AMEND, order=order(status=OrderStatus(status)))) == ["moot"]


@pytest.mark.parametrize("how", [{"resend": Resend.NEVER}, {"cancel_asked": {1}}], ids=["never", "cancel asked"])
def test_a_change_without_effect_is_not_sent_again_where_policy_forbids(how: dict[str, object]) -> None:
    assert changed(AMEND, SEEN, **how) == ["effect_absent"]
    late = Known(command=AMEND, order=LIVE, expires_at_us=50)
    assert settled(SEEN, FENCE, late) == ["effect_absent"]
    assert settled(SEEN, FENCE, Known(command=CANCEL, order=LIVE), policy(**how)) == ["effect_absent", "requeued"]


# -- breaks


def test_what_fits_is_no_break() -> None:
    assert compare.order_breaks(ACCEPTED, SEEN) == []
    assert compare.order_breaks(Known(), SEEN) == []
    assert compare.order_breaks(ACCEPTED, seen(status="canceled", price_e6=1)) == [], "what it ended at is history"


def test_a_second_order_and_an_amended_one_are_breaks() -> None:
    (duplicate,) = compare.order_breaks(ACCEPTED, seen(order_id="o2", price_e6=1))
    assert (duplicate.kind, duplicate.order_id) == ("duplicate", "o1")
    assert "o2" in duplicate.seen
    for name, shown in OTHER_FIELDS.items():
        found = compare.order_breaks(ACCEPTED, shown)
        assert [each.kind for each in found] == (["amended"] if name in ("ticker", "side") else [])
    amended = compare.amended_break(replace(ACCEPTED, order=order(price_e6=20_000, count_e2=300)))
    assert (amended.kind, amended.client_order_id, amended.ticker) == ("amended", "c1", "T")
    assert (amended.expected, amended.seen) == ("1.00 at 0.0100", "3.00 at 0.0200")


def test_every_break_says_what_was_expected_what_was_seen_and_what_to_do() -> None:
    late = replace(ACCEPTED, order=order(late=True))
    breaks = [
        compare.parked_break(Known(command=command(state=CommandState.PARKED, detail="order o9 holds this id"))),
        compare.parked_break(Known(command=command(state=CommandState.PARKED))),
        compare.late_break(late),
        compare.lost_break(ACCEPTED),
        compare.fills_break(replace(ACCEPTED, order=order(traded_count_e2=300))),
        compare.no_effect_break(Known(command=CANCEL, order=LIVE)),
        compare.position_break("T", [(0, 500, -100), (2, 0, 33)]),
        compare.unreadable_break("c1", "o1", "no price"),
        compare.unreadable_break("", "", "not an object"),
    ]
    kinds = ["parked", "parked", "late", "lost", "fills", "no_effect", "position", "unreadable", "unreadable"]
    assert [each.kind for each in breaks] == kinds
    assert all(each.expected and each.seen and each.suggestion for each in breaks)
    assert breaks[0].seen == "order o9 holds this id"
    assert (breaks[-1].client_order_id, breaks[-1].order_id) == (None, None)
    assert all(first != second for first, second in pairwise(each.suggestion for each in breaks[1:8]))
    assert breaks[6].expected.startswith("5.00, subaccount 2: 0.00 by")
    assert (breaks[6].seen, breaks[6].ticker) == ("-1.00, subaccount 2: 0.33 at the exchange", "T")
