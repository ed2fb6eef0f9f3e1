"""Ledger rows into the records that people and programs are given. Reads only; decides nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from oms.lifecycle import actions as a
from oms.lifecycle import events as e
from oms.lifecycle.states import DOUBTFUL
from oms.records import BatchRecord, BreakRecord, ExternalOrderRecord, OrderRecord, Story, TimelineEntry
from oms.units import DOLLAR_E6, format_count, format_dollars, format_time

if TYPE_CHECKING:
    from sqlalchemy import Row

_DOUBTFUL = {state.value for state in DOUBTFUL}


def order_record(row: "Row[Any]", environment: str, *, preexisting: bool = False) -> OrderRecord:
    """One row of `listing.ORDER_ROWS` as the contract's order record."""
    r = row._mapping
    price_e6: int = r["working_price_e6"]
    outcome_e6 = price_e6 if r["outcome"] == "yes" else DOLLAR_E6 - price_e6
    average_e6, fees_e6 = _money(r)
    doubtful = any(r[column] in _DOUBTFUL for column in ("command_state", "cancel_state", "change_state"))
    is_settled = r["order_id"] is not None or r["status"] in ("rejected", "unsent")
    return OrderRecord(
        client_order_id=r["client_order_id"],
        order_id=r["order_id"],
        environment=environment,
        batch=r["batch_name"] or r["batch_hex"][:16],
        row=r["row"],
        ticker=r["ticker"],
        side=r["side"],
        price=format_dollars(price_e6),
        action=r["action"],
        outcome=r["outcome"],
        outcome_price=format_dollars(outcome_e6),
        count=format_count(r["working_count_e2"]),
        time_in_force=r["time_in_force"],
        subaccount=r["subaccount"],
        tag=r["tag"],
        status=r["status"],
        in_doubt=doubtful,
        late=bool(r["late"]),
        preexisting=preexisting,
        fill_count=format_count(r["fill_count_e2"]),
        remaining_count=_optional(r["remaining_count_e2"], format_count),
        average_fill_price=_optional(average_e6, format_dollars),
        fees=_optional(fees_e6, format_dollars),
        attempts=r["command_attempts"],
        reason=r["reason"] if is_settled else r["command_reason"],
        detail=r["detail"] if is_settled else r["command_detail"],
        created_at=format_time(r["created_at_us"]),
        sent_at=_optional(r["sent_at_us"], format_time),
        updated_at=format_time(max(r["updated_at_us"], r["command_updated_at_us"])),
        state=r["command_state"],
        cancel_state=r["cancel_state"],
        change_state=r["change_state"],
        order_group_id=r["order_group_id"],
    )


def _money(r: Mapping[Any, Any]) -> tuple[int | None, int | None]:
    """Average fill price and fees: from the trades where they are all known, else as the exchange told them."""
    traded: int = r["traded_count_e2"]
    if traded and traded >= r["fill_count_e2"]:
        return (2 * r["traded_value_e8"] + traded) // (2 * traded), r["traded_fees_e6"]
    return r["average_fill_price_e6"], r["fees_e6"]


def _optional(value: int | None, form: Any) -> str | None:
    return None if value is None else str(form(value))


def batch_record(row: "Row[Any]", counts: Mapping[str, int], in_doubt: int) -> BatchRecord:
    """One batch with what became of its orders."""
    r = row._mapping
    return BatchRecord(
        batch=r["name"] or r["batch_key"][:16],
        key=r["batch_key"],
        name=r["name"],
        source=r["source"],
        rows=r["row_count"],
        created_at=format_time(r["created_at_us"]),
        counts=dict(counts),
        in_doubt=in_doubt,
    )


def external_order(row: "Row[Any]") -> ExternalOrderRecord:
    """One order that was made elsewhere."""
    r = row._mapping
    return ExternalOrderRecord(
        order_id=r["order_id"],
        client_order_id=r["client_order_id"],
        ticker=r["ticker"],
        side=r["side"],
        price=format_dollars(r["price_e6"]),
        count=format_count(r["initial_count_e2"]),
        fill_count=format_count(r["fill_count_e2"]),
        remaining_count=format_count(r["remaining_count_e2"]),
        status=r["status"],
        subaccount=r["subaccount"],
        created_at=None if r["created_ts_ms"] is None else format_time(r["created_ts_ms"] * 1000),
        as_of=format_time(r["as_of_ms"] * 1000),
    )


def kept_breaks(kept: "Iterable[tuple[BreakRecord, int, int]]") -> list[BreakRecord]:
    """Breaks with when they were first seen."""
    return [msgspec.structs.replace(x, first_seen_at=format_time(first_us)) for x, first_us, _ in kept]


# -- why ------------------------------------------------------------------------------------------------------------


def story(
    row: "Row[Any]", environment: str, rows: "list[Row[Any]]", cancels: "Sequence[tuple[int, str, e.Event]]" = ()
) -> Story:
    """The evidence of one order as a timeline, and where it stands; with the `cancels` of second orders beside it.

    `row` is the order's, of `listing.ORDER_ROWS`, and `rows` are its events.
    """
    order = order_record(row, environment)
    timeline = [_entry(row) for row in rows] + [_cancel_entry(*each) for each in cancels]
    timeline.sort(key=lambda entry: entry.at)  # stable: what happened to the order stays in its order
    return Story(order=order, summary=_summary(order) + _taken_over(row), timeline=tuple(timeline))


def _taken_over(row: "Row[Any]") -> str:
    """That its terms are none that this ledger has asked for: an amend is adopted and never repeated."""
    r = row._mapping
    if not r["terms_elsewhere"]:
        return ""
    price_e6 = r["price_e6"] if r["outcome"] == "yes" else DOLLAR_E6 - r["price_e6"]
    return (
        f" Recorded here as {format_count(r['count_e2'])} at {format_dollars(price_e6)}; it was changed elsewhere, or"
        " from a ledger that was lost. The change is taken over as the exchange shows it, and never repeated."
    )


def seconds_of(rows: "list[Row[Any]]") -> list[str]:
    """The order_ids of second orders that were seen under the id of the order with this history."""
    seen = [e.decode("duplicate_seen", row.data) for row in rows if row.kind == "duplicate_seen"]
    return list(dict.fromkeys(event.order_id for event in seen if isinstance(event, e.DuplicateSeen)))


def _cancel_entry(at_us: int, kind: str, event: e.Event) -> TimelineEntry:
    data: dict[str, object] = msgspec.to_builtins(event)
    word = str(data.pop("event"))
    return TimelineEntry(at=format_time(at_us), event=word, command=kind, text=action_sentence(event), data=data)


def action_sentence(event: e.Event) -> str:
    """One recorded fact about the cancel of an order that was not placed here, said to a person."""
    what = "cancel of the second order"
    match event:
        case a.ActionRecorded():
            return f"cancel of the second order {event.target} recorded, before anything was sent"
        case a.Done():
            taken = "" if event.reduced_by_e2 is None else f": {format_count(event.reduced_by_e2)} taken off the book"
            return f"the exchange canceled the second order{taken}"
        case a.EffectShown():
            return f"read as of {format_time(event.as_of_ms * 1000)}: {event.detail}"
        case a.EffectMissing():
            return f"read as of {format_time(event.as_of_ms * 1000)}: {event.detail}; the cancel had no effect"
        case _:
            return sentence(event, what)


def _entry(row: "Row[Any]") -> TimelineEntry:
    r = row._mapping
    event = e.decode(r["kind"], r["data"])
    data: dict[str, object] = msgspec.json.decode(r["data"])
    data.pop("event", None)
    command = r["command_kind"]
    return TimelineEntry(
        at=format_time(r["at_us"]), event=r["kind"], command=command, text=sentence(event, command), data=data
    )


def sentence(event: e.Event, command: str | None) -> str:
    """One recorded fact, said to a person."""
    what = command or "order"
    match event:
        case e.Recorded():
            return f"{what}{_asked(event)} recorded, before anything was sent"
        case e.Claimed():
            return f"attempt {event.attempt} of the {what} committed by run {event.epoch}, then handed to a sender"
        case e.NotProcessed():
            return (
                f"attempt {event.attempt} had no effect ({event.why}{_said(event.detail)}); it goes back to the queue"
            )
        case e.AttemptRefused():
            return f"attempt {event.attempt} refused: HTTP {event.http_status} {event.code}{_said(event.message)}"
        case e.AttemptUnknown():
            return f"attempt {event.attempt}: outcome unknown ({event.why}); the exchange has to be asked"
        case e.IdTaken():
            return f"attempt {event.attempt}: the exchange has an order under this id already; it has to be read"
        case e.SenderDied():
            return f"the run that sent it had ended without recording an answer (noticed by run {event.epoch})"
        case e.Withdrawn():
            return f"{what} withdrawn before it was sent: {event.reason}{_said(event.detail or '')}"
        case _:
            return _answer_sentence(event, what)


def _answer_sentence(event: e.Event, what: str) -> str:
    match event:
        case e.Acknowledged():
            filled, left = format_count(event.fill_count_e2), format_count(event.remaining_count_e2)
            return f"the exchange took it as order {event.order_id}: {filled} filled, {left} resting"
        case e.CancelAcknowledged():
            return f"the exchange canceled {format_count(event.reduced_by_e2)} of order {event.order_id}"
        case e.AmendAcknowledged():
            return f"the exchange amended order {event.order_id}"
        case e.DecreaseAcknowledged():
            return f"the exchange decreased order {event.order_id}: {format_count(event.remaining_count_e2)} resting"
        case e.Found():
            return f"found at the exchange in {event.source} by its client_order_id: {_shown(event.order)}"
        case e.FoundForeign():
            return f"an order under this id cannot be ours (differs in {event.differs}): {_shown(event.order)}"
        case e.Observed() | e.EffectSeen():
            return f"the exchange shows {_shown(event.order)}"
        case e.Filled():
            return f"filled {format_count(event.count_e2)} at {format_dollars(event.price_e6)} (trade {event.trade_id})"
        case e.DuplicateSettled():
            return f"a person has looked at the second order {event.order_id}"
        case e.DuplicateSeen():
            return f"a SECOND order under this id: {event.order_id}; sending is halted"
        case e.AbsenceProven():
            return (
                f"proven absent: a complete scan of data as of {format_time(event.as_of_ms * 1000)}, later than"
                f" {format_time(event.fence_ms * 1000)} by which every attempt had arrived or expired, does not show it"
                f" ({event.orders_seen} orders seen, {event.witnesses} known ones among them)"
            )
        case e.EffectAbsent():
            return f"the order was unchanged as of {format_time(event.as_of_ms * 1000)}: the {what} had no effect"
        case e.Requeued():
            return "queued again under the same id"
        case e.Moot():
            return f"{what} not needed: {event.detail}"
        case e.Resolved():
            return f"resolved by hand: {f'it is order {event.order_id}' if event.order_id else 'it is not there'}"
        case _:
            return e.kind_of(event)


def _asked(event: e.Recorded) -> str:
    """What an amend or decrease asks for."""
    if event.reduce_to_e2 is not None:
        return f" to {format_count(event.reduce_to_e2)} remaining"
    if event.price_e6 is None or event.count_e2 is None:
        return ""
    expires = ""
    if event.expiration_time is not None:
        expires = (
            f", expiring {format_time(event.expiration_time * 1_000_000)}" if event.expiration_time else ", unlimited"
        )
    return f" to {format_count(event.count_e2)} in all at {format_dollars(event.price_e6)} (YES){expires}"


def _said(detail: str) -> str:
    return f": {detail}" if detail else ""


def _shown(order: e.Snapshot) -> str:
    filled = f"{format_count(order.fill_count_e2)} of {format_count(order.initial_count_e2)} filled"
    return f"order {order.order_id}, {order.status}, {filled}"


def _summary(order: OrderRecord) -> str:
    if order.state == "parked":
        return (
            "PARKED: the evidence conflicts, so a person decides:"
            f" `oms resolve {order.client_order_id} --order-id ID` or `--absent`."
        )
    if order.in_doubt:
        return "IN DOUBT: it may be at the exchange. `oms reconcile` asks; nothing is sent again until that is known."
    endings = {
        "pending": "Recorded and not sent yet. `oms submit` sends it.",
        "resting": f"Resting at the exchange, {order.fill_count} of {order.count} filled.",
        "executed": f"Executed: all {order.count} filled.",
        "canceled": f"Canceled, {order.fill_count} of {order.count} filled.",
        "rejected": f"Rejected by the exchange: {order.detail or order.reason}.",
        "unsent": f"Not at the exchange and not going there: {order.reason}.",
    }
    late = " It turned up after it had been concluded absent." if order.late else ""
    return endings[order.status] + late
