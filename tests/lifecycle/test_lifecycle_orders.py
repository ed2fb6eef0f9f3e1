"""What evidence makes of an order: statuses, counts, lateness, and what it never does."""

import itertools

import pytest
from histories import COUNT_E2, PRICE_E6, SIGNED_MS, S, command_in, order_in, order_of, sample, snapshot

from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import CommandKind, OrderStatus, Reason
from oms.lifecycle.table import ORDER_TABLE, may_move

# Our status (rows) met by a read of the order (columns); `.` stays, `late` also flags the order.
READS = """
status     resting         executed        canceled
pending    resting         executed        canceled
resting    .               executed        canceled
executed   .               .               .
canceled   .               .               .
rejected   resting+late    executed+late   canceled+late
unsent     resting+late    executed+late   canceled+late
"""


def found_in(status: OrderStatus, seen: e.Snapshot) -> replay.Order:
    """The order after its create was found as it is seen there."""
    state = {"pending": S.IN_DOUBT, "rejected": S.REFUSED, "unsent": S.ABSENT}.get(status, S.ACCEPTED)
    event = e.Found(source="orders", as_of_ms=SIGNED_MS, order=seen)
    return replay.apply(command_in(CommandKind.CREATE, state), order_in(status), event)[1]


def test_a_read_leads_where_the_table_says() -> None:
    head, *lines = [line.split() for line in READS.strip().splitlines()]
    assert [line[0] for line in lines] == list(OrderStatus)
    for was, *cells in lines:
        for seen, cell in zip(head[1:], cells, strict=True):
            order = found_in(OrderStatus(was), snapshot(status=seen))
            status, _, late = (was if cell == "." else cell).partition("+")
            assert (order.status, order.late) == (status, late == "late"), (was, seen)
            assert order.order_id == "A"


def test_statuses_move_only_where_the_table_says() -> None:
    assert set(ORDER_TABLE) == set(OrderStatus)
    for before, after in itertools.product(OrderStatus, repeat=2):
        assert may_move(before, after) == (before is after or after in ORDER_TABLE[before])
    assert not any(ORDER_TABLE[ended] for ended in (OrderStatus.EXECUTED, OrderStatus.CANCELED))


@pytest.mark.parametrize(
    ("count", "fill", "remaining", "status"),
    [
        (1000, 0, 1000, "resting"),
        (1000, 400, 600, "resting"),
        (1000, 1000, 0, "executed"),
        (1000, 0, 0, "canceled"),
        (1000, 999, 0, "canceled"),
        (1000, 1200, 0, "executed"),
    ],
)
def test_a_create_answer_names_no_status_so_its_counts_do(count: int, fill: int, remaining: int, status: str) -> None:
    assert replay.status_from_counts(count, fill, remaining) == status


@pytest.mark.parametrize(
    ("fill", "remaining", "status"), [(0, 1000, "resting"), (1000, 0, "executed"), (200, 0, "canceled")]
)
def test_an_acknowledgement_brings_the_order_to_life(fill: int, remaining: int, status: str) -> None:
    command = command_in(CommandKind.CREATE, S.ON_WIRE)
    event = e.Acknowledged(
        attempt=1,
        order_id="A",
        fill_count_e2=fill,
        remaining_count_e2=remaining,
        ts_ms=77,
        average_fill_price_e6=550_000,
        average_fee_paid_e6=7_000,
    )
    after, order = replay.apply(command, order_of(command), event)
    assert (after.state, after.live) == (S.ACCEPTED, ())
    assert (order.status, order.fill_count_e2, order.remaining_count_e2) == (status, fill, remaining)
    # The average fee is per contract and rounded, so no sum is made of it.
    assert (order.average_fill_price_e6, order.fees_e6) == (550_000, None if fill else 0)
    assert (order.created_ts_ms, order.fact_ts_ms, order.late) == (77, 77, False)


def test_an_acknowledgement_of_what_had_been_given_up_is_late() -> None:
    for state, status in ((S.REFUSED, "rejected"), (S.WITHDRAWN, "unsent"), (S.ABSENT, "unsent")):
        command = command_in(CommandKind.CREATE, state)
        _, order = replay.apply(command, order_in(OrderStatus(status)), sample("acknowledged"))
        assert (order.status, order.late, order.reason) == ("resting", True, None)


@pytest.mark.parametrize("event", [sample("found"), sample("acknowledged"), sample("resolved")], ids=e.kind_of)
def test_an_order_given_up_parked_and_found_after_all_is_late(event: e.Event) -> None:
    command = command_in(CommandKind.CREATE, S.ABSENT)
    command, order = replay.apply_all(command, order_in(OrderStatus.UNSENT), [sample("found_foreign"), event])
    assert (command.state, order.status, order.late) == (S.ACCEPTED, "resting", True)


@pytest.mark.fault(65)
def test_a_read_with_a_status_we_do_not_know_is_read_by_its_counts() -> None:
    for fill, status in ((0, "canceled"), (COUNT_E2, "executed")):
        assert found_in(OrderStatus.PENDING, snapshot(status="expired_early", fill_e2=fill)).status == status


@pytest.mark.fault(63)
def test_a_canceled_order_may_still_be_filled() -> None:
    order = order_in(OrderStatus.CANCELED, 300)
    seen = e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot(status="canceled", fill_e2=500))
    after = replay.observe(order, seen)
    assert (after.status, after.fill_count_e2, after.remaining_count_e2) == ("canceled", 500, 0)


def test_a_canceled_order_that_a_read_calls_executed_keeps_its_status_and_takes_its_fills() -> None:
    order = order_in(OrderStatus.CANCELED, 300)
    seen = e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot(status="executed", fill_e2=COUNT_E2))
    after = replay.observe(order, seen)
    assert (after.status, after.fill_count_e2) == ("canceled", COUNT_E2)


def test_a_read_that_shows_fewer_fills_takes_none_away() -> None:
    order = order_in(OrderStatus.RESTING, 500)
    seen = e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot(fill_e2=200))
    after = replay.observe(order, seen)
    assert (after.fill_count_e2, after.remaining_count_e2) == (500, 500)


def test_a_read_older_than_what_is_known_changes_nothing() -> None:
    newest = e.Observed(source="orders", as_of_ms=90, order=snapshot(fill_e2=200, updated_ms=80))
    order = replay.observe(order_in(OrderStatus.RESTING), newest)
    for as_of_ms, applies in ((79, False), (80, True)):
        late_read = e.Observed(source="orders", as_of_ms=as_of_ms, order=snapshot(status="canceled", fill_e2=200))
        assert (replay.observe(order, late_read) != order) == applies


def test_a_read_of_another_order_changes_nothing() -> None:
    order = order_in(OrderStatus.RESTING)
    for event in (
        e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot("B", "canceled")),
        e.Found(source="orders", as_of_ms=SIGNED_MS, order=snapshot("B", "canceled")),
    ):
        assert replay.observe(order, event) == order


def test_only_evidence_of_its_create_brings_an_order_to_life() -> None:
    for status in (OrderStatus.PENDING, OrderStatus.REJECTED, OrderStatus.UNSENT):
        for word in ("observed", "effect_seen", "cancel_acknowledged"):
            assert replay.observe(order_in(status), sample(word)) == order_in(status)


# -- trades -------------------------------------------------------------------------------------------------------


def test_trades_add_up() -> None:
    order = order_in(OrderStatus.RESTING)
    for number, price_e6 in enumerate((560_000, 550_000), 1):
        trade = e.Filled(trade_id=f"t{number}", count_e2=300, price_e6=price_e6, fee_e6=21, is_taker=True, ts_ms=1)
        order = replay.observe(order, trade)
    assert (order.traded_count_e2, order.traded_fees_e6) == (600, 42)
    assert order.traded_value_e8 == 300 * 560_000 + 300 * 550_000
    assert (order.fill_count_e2, order.remaining_count_e2, order.status) == (600, 400, "resting")


def test_a_trade_that_a_read_has_counted_already_raises_nothing() -> None:
    order = replay.observe(order_in(OrderStatus.RESTING, 500), sample("filled"))
    assert (order.fill_count_e2, order.traded_count_e2, order.remaining_count_e2) == (500, 100, 500)


def test_more_trades_than_contracts_are_kept_for_a_person_to_see() -> None:
    order = order_in(OrderStatus.RESTING)
    for _ in range(11):
        order = replay.observe(order, sample("filled"))
    assert (order.traded_count_e2, order.remaining_count_e2) == (COUNT_E2 + 100, 0)


def test_a_trade_before_anything_else_is_known_leaves_what_remains_unknown() -> None:
    assert replay.observe(order_in(OrderStatus.PENDING), sample("filled")).remaining_count_e2 is None


# -- cancels --------------------------------------------------------------------------------------------------------


def test_a_cancel_that_took_something_off_the_book_ends_the_order() -> None:
    command = command_in(CommandKind.CANCEL, S.ON_WIRE)
    after, order = replay.apply(command, order_of(command), sample("cancel_acknowledged"))
    assert (after.state, order.status, order.remaining_count_e2) == (S.ACCEPTED, "canceled", 0)
    assert order.fact_ts_ms == SIGNED_MS


@pytest.mark.parametrize("status", OrderStatus)
def test_a_cancel_ends_only_an_order_that_rests(status: OrderStatus) -> None:
    command = command_in(CommandKind.CANCEL, S.ON_WIRE)
    _, order = replay.apply(command, order_in(status), sample("cancel_acknowledged"))
    assert order.status == ("canceled" if status is OrderStatus.RESTING else status)


def test_a_cancel_that_took_nothing_off_the_book_says_nothing_about_the_order() -> None:
    command = command_in(CommandKind.CANCEL, S.ON_WIRE)
    for event in (
        e.CancelAcknowledged(attempt=1, order_id="A", reduced_by_e2=0),
        e.CancelAcknowledged(attempt=1, order_id="B", reduced_by_e2=100),
    ):
        after, order = replay.apply(command, order_of(command), event)
        assert (after.state, order) == (S.ACCEPTED, order_of(command))


def test_the_effect_of_a_cancel_is_seen_in_the_order() -> None:
    command = command_in(CommandKind.CANCEL, S.IN_DOUBT)
    after, order = replay.apply(command, order_of(command), sample("effect_seen"))
    assert (after.state, order.status) == (S.ACCEPTED, "canceled")


@pytest.mark.parametrize("word", ["moot", "effect_absent", "attempt_refused", "not_processed", "attempt_unknown"])
def test_a_cancel_that_did_nothing_changes_no_order(word: str) -> None:
    command = command_in(CommandKind.CANCEL, S.IN_DOUBT)
    _, order = replay.apply(command, order_of(command), sample(word))
    assert order == order_of(command)


# -- a second order under one id -----------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["acknowledged", "found", "observed"])
def test_a_second_order_id_is_noticed_and_never_merged(word: str) -> None:
    event = sample(word)
    order = replay.Order(count_e2=COUNT_E2, price_e6=PRICE_E6, status=OrderStatus.RESTING, order_id="Z")
    assert replay.second_order_id(order, event) == "A"
    assert replay.second_order_id(order_in(OrderStatus.RESTING), event) is None
    assert replay.second_order_id(order_in(OrderStatus.PENDING), event) is None
    command = command_in(CommandKind.CREATE, S.ACCEPTED)
    assert replay.apply(command, order, event) == (command, order)


def test_a_second_order_id_is_noted_once() -> None:
    order = replay.observe(order_in(OrderStatus.RESTING), sample("duplicate_seen"))
    assert order.detail == "a second order under this id: B"
    assert replay.observe(order, sample("duplicate_seen")) == order
    seen_again = e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot("B"))
    assert replay.second_order_id(order, seen_again) is None
    third = replay.observe(order, e.DuplicateSeen(source="orders", order_id="C"))
    assert third.detail == "a second order under this id: B; a second order under this id: C"


def test_a_second_order_that_a_person_has_looked_at_stays_noted_and_is_told_apart() -> None:
    order = replay.observe(order_in(OrderStatus.RESTING), sample("duplicate_seen"))
    order = replay.observe(order, e.DuplicateSeen(source="orders", order_id="BC"))
    assert not replay.is_settled(order, "B")
    after = replay.observe(order, sample("duplicate_settled"))
    assert after.detail == "a second order under this id: B (acknowledged); a second order under this id: BC"
    assert (replay.is_settled(after, "B"), replay.is_settled(after, "BC")) == (True, False)
    assert replay.is_noted(after, "B")
    assert replay.observe(after, sample("duplicate_settled")) == after


def test_only_what_was_noted_can_be_settled() -> None:
    order = order_in(OrderStatus.RESTING)
    assert replay.observe(order, sample("duplicate_settled")) == order


def test_what_is_noted_of_an_order_outlives_the_next_read() -> None:
    order = replay.observe(order_in(OrderStatus.RESTING), sample("duplicate_seen"))
    after = replay.observe(order, e.Observed(source="orders", as_of_ms=SIGNED_MS, order=snapshot(fill_e2=100)))
    assert (after.fill_count_e2, after.detail) == (100, order.detail)


@pytest.mark.parametrize("word", ["filled", "moot", "duplicate_seen"])
def test_events_without_an_order_id_show_no_second_order(word: str) -> None:
    assert replay.second_order_id(order_in(OrderStatus.RESTING), sample(word)) is None


# -- how an order ends without ever being there --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "event", "status", "reason"),
    [
        (S.QUEUED, e.Withdrawn(reason=Reason.EXPIRED), "unsent", Reason.EXPIRED),
        (S.QUEUED, e.Withdrawn(reason=Reason.HALTED, detail="by hand"), "unsent", Reason.HALTED),
        (S.ON_WIRE, sample("attempt_refused"), "rejected", Reason.REFUSED),
        (S.IN_DOUBT, sample("absence_proven"), "unsent", Reason.PROVEN_ABSENT),
        (S.ON_WIRE, sample("not_processed"), "pending", None),
        (S.ON_WIRE, sample("attempt_unknown"), "pending", None),
        (S.ON_WIRE, sample("sender_died"), "pending", None),
        (S.ON_WIRE, sample("id_taken"), "pending", None),
    ],
)
def test_an_order_that_never_arrived_ends_with_a_reason(
    state: S, event: e.Event, status: str, reason: Reason | None
) -> None:
    command = command_in(CommandKind.CREATE, state)
    _, order = replay.apply(command, order_of(command), event)
    assert (order.status, order.reason, order.order_id) == (status, reason, None)
