"""What holds for every history, whatever the exchange shows and in whatever order."""

from collections.abc import Sequence
from dataclasses import dataclass

from histories import COUNT_E2, PRICE_E6, S, snapshot
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import AT_EXCHANGE, DOUBTFUL, UNFINISHED, Command, CommandKind, Order, OrderStatus, Reason
from oms.lifecycle.table import may_move

attempts = st.integers(1, 4)
order_ids = st.sampled_from("AB")
counts = st.sampled_from([0, 1, 100, 400, COUNT_E2])
times = st.integers(0, 6)
reads = st.builds(
    snapshot,
    order_id=order_ids,
    status=st.sampled_from(["resting", "executed", "canceled", "a new word"]),
    fill_e2=counts,
    updated_ms=st.none() | times,
)
sources = st.just("orders")
flags = st.booleans()

DECISIONS = st.one_of(
    st.builds(e.Claimed, attempt=attempts, epoch=times, signed_ms=times, at_us=times),
    st.builds(e.Withdrawn, reason=st.sampled_from([Reason.EXPIRED, Reason.HALTED])),
    st.builds(e.SenderDied, epoch=times),
    st.builds(e.AbsenceProven, as_of_ms=times, fence_ms=times, orders_seen=times, witnesses=times, final=flags),
    st.builds(e.Requeued),
    st.builds(e.Resolved, order_id=st.none() | order_ids),
    st.builds(e.Moot, detail=st.just("the order ended")),
    st.builds(e.EffectAbsent, as_of_ms=times, fence_ms=times),
)
EVIDENCE = st.one_of(
    st.builds(
        e.Acknowledged,
        attempt=attempts,
        order_id=order_ids,
        fill_count_e2=counts,
        remaining_count_e2=counts,
        ts_ms=times,
    ),
    st.builds(
        e.CancelAcknowledged, attempt=attempts, order_id=order_ids, reduced_by_e2=counts, ts_ms=st.none() | times
    ),
    st.builds(e.NotProcessed, attempt=attempts, why=st.just("paused")),
    st.builds(e.AttemptRefused, attempt=attempts, http_status=st.just(400), code=st.just("bad")),
    st.builds(e.AttemptUnknown, attempt=attempts, why=st.just("no_answer")),
    st.builds(e.IdTaken, attempt=attempts),
    st.builds(e.Found, source=sources, as_of_ms=times, order=reads),
    st.builds(e.FoundForeign, source=sources, as_of_ms=times, order=reads, differs=st.just("price")),
    st.builds(e.EffectSeen, source=sources, as_of_ms=times, order=reads),
    st.builds(e.Observed, source=sources, as_of_ms=times, order=reads),
    st.builds(
        e.Filled,
        trade_id=st.just("t"),
        count_e2=st.sampled_from([1, 100]),
        price_e6=st.just(560_000),
        fee_e6=times,
        is_taker=flags,
        ts_ms=times,
    ),
    st.builds(e.DuplicateSeen, source=sources, order_id=order_ids),
    st.builds(e.DuplicateSettled, order_id=order_ids),
)
# A claim that fits is rare among random ones, and without it little else happens: None asks for it.
HISTORIES = st.lists(st.one_of(st.none(), st.none(), DECISIONS, EVIDENCE), max_size=25)
KINDS = st.sampled_from(CommandKind)


@dataclass(frozen=True)
class Step:
    event: e.Event
    command_before: Command
    order_before: Order
    command: Command
    order: Order


def lived(kind: CommandKind, history: Sequence[e.Event | None]) -> list[Step]:
    """The history as far as it is allowed: a decision that is not is left out, evidence always counts."""
    command = replay.begin(e.Recorded(kind=kind))
    order = Order(count_e2=COUNT_E2, price_e6=PRICE_E6)
    if kind is CommandKind.CANCEL:
        order = Order(
            count_e2=COUNT_E2, price_e6=PRICE_E6, status=OrderStatus.RESTING, order_id="A", remaining_count_e2=COUNT_E2
        )
    steps: list[Step] = []
    for wanted in history:
        number = command.attempts + 1
        event = e.Claimed(attempt=number, epoch=1, signed_ms=number, at_us=number) if wanted is None else wanted
        before = command, order
        try:
            command, order = replay.apply(command, order, event)
        except InvalidTransition:
            assert isinstance(event, e.DECISIONS), "evidence never raises"
            assert (command, order) == before
            continue
        steps.append(Step(event, *before, command, order))
    return steps


@given(KINDS, HISTORIES)
def test_fill_count_never_falls(kind: CommandKind, history: list[e.Event | None]) -> None:
    for step in lived(kind, history):
        assert step.order.fill_count_e2 >= step.order_before.fill_count_e2
        assert step.order.traded_count_e2 >= step.order_before.traded_count_e2


@given(KINDS, HISTORIES)
def test_statuses_go_only_where_they_may_and_an_ended_order_stays_ended(
    kind: CommandKind, history: list[e.Event | None]
) -> None:
    for step in lived(kind, history):
        assert may_move(step.order_before.status, step.order.status), step
        if step.order_before.status in (OrderStatus.EXECUTED, OrderStatus.CANCELED):
            assert step.order.status is step.order_before.status


@given(KINDS, HISTORIES)
def test_what_was_given_up_lives_again_only_as_late(kind: CommandKind, history: list[e.Event | None]) -> None:
    for step in lived(kind, history):
        given_up = step.order_before.status in (OrderStatus.UNSENT, OrderStatus.REJECTED)
        if given_up and step.order.status in AT_EXCHANGE:
            assert step.order.late
        if step.order_before.late:
            assert step.order.late


@given(KINDS, HISTORIES)
def test_an_order_keeps_the_order_id_it_was_first_given(kind: CommandKind, history: list[e.Event | None]) -> None:
    for step in lived(kind, history):
        if step.order_before.order_id is not None:
            assert step.order.order_id == step.order_before.order_id
        assert (step.order.order_id is not None) == (step.order.status in AT_EXCHANGE)


@given(KINDS, HISTORIES)
def test_the_same_history_gives_the_same_rows(kind: CommandKind, history: list[e.Event | None]) -> None:
    steps = lived(kind, history)
    if not steps:
        return
    events = [e.decode(e.kind_of(step.event), e.encode(step.event)) for step in steps]
    first = steps[0]
    again = replay.apply_all(first.command_before, first.order_before, events)
    assert again == (steps[-1].command, steps[-1].order)


@given(KINDS, HISTORIES)
def test_evidence_told_twice_in_a_row_changes_nothing_more(kind: CommandKind, history: list[e.Event | None]) -> None:
    """A trade is the exception: the ledger lets each trade_id in once."""
    for step in lived(kind, history):
        if isinstance(step.event, e.EVIDENCE) and not isinstance(step.event, e.Filled):
            assert replay.apply(step.command, step.order, step.event) == (step.command, step.order), step


@given(KINDS, HISTORIES)
def test_doubt_ends_only_by_evidence_or_proof(kind: CommandKind, history: list[e.Event | None]) -> None:
    """P4: while an attempt has no definite outcome, nothing but these says no."""
    for step in lived(kind, history):
        before, after = step.command_before, step.command
        if len(before.live) > 1 and isinstance(step.event, e.NotProcessed | e.AttemptRefused):
            assert after.state in DOUBTFUL
        if before.state in (S.IN_DOUBT, S.PARKED) and after.state not in DOUBTFUL:
            settling = (
                *(e.Acknowledged, e.CancelAcknowledged, e.Found, e.EffectSeen),
                *(e.AbsenceProven, e.EffectAbsent, e.Resolved, e.Moot),
                *(e.NotProcessed, e.AttemptRefused),
            )
            assert isinstance(step.event, settling), step


@given(KINDS, HISTORIES)
def test_a_command_has_live_attempts_exactly_while_it_may_be_at_the_exchange(
    kind: CommandKind, history: list[e.Event | None]
) -> None:
    for step in lived(kind, history):
        command = step.command
        if command.state in (S.ON_WIRE, S.IN_DOUBT):
            assert command.live
        if command.state not in DOUBTFUL:
            assert not command.live
        assert set(command.live) <= set(range(1, command.attempts + 1))
        assert (command.attempts > 0) == (command.last_signed_ms is not None)
        if command.state is S.ON_WIRE:
            assert command.attempts in command.live


@given(HISTORIES)
def test_a_create_that_is_not_finished_has_an_order_that_is_pending(history: list[e.Event | None]) -> None:
    for step in lived(CommandKind.CREATE, history):
        if step.command.state in (S.ON_WIRE, S.IN_DOUBT, S.QUEUED):
            assert step.order.status is OrderStatus.PENDING
        if step.command.state is S.ACCEPTED:
            assert step.order.status in AT_EXCHANGE
        if step.command.state not in UNFINISHED:
            assert step.order.status is not OrderStatus.PENDING or step.command.state is S.ABSENT


@given(HISTORIES)
def test_a_second_order_is_never_merged_into_the_first(history: list[e.Event | None]) -> None:
    for step in lived(CommandKind.CREATE, history):
        if replay.second_order_id(step.order_before, step.event) is not None:
            assert (step.order, step.command.state) == (step.order_before, step.command_before.state)
