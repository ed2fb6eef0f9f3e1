"""The one seam: every way a write can end, mapped to what it means for that attempt. PURE.

It is total: whatever status and bytes come back, an event goes out and nothing is raised. When in doubt it is doubt
(P4): a "no" needs the exchange's own parsed code, a "yes" needs our exact id, an order_id and readable counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from oms.errors import NotSent, OutcomeUnknown, ReadFailed
from oms.lifecycle.events import (
    Acknowledged,
    AmendAcknowledged,
    AttemptRefused,
    AttemptUnknown,
    CancelAcknowledged,
    DecreaseAcknowledged,
    Event,
    IdTaken,
    NotProcessed,
)
from oms.venue.transport import Answer, ClaimTooOld
from oms.venue.wire import (
    AmendBody,
    BatchItem,
    CancelBody,
    CancelItem,
    CreateBody,
    DecreaseBody,
    ErrorBody,
    Unreadable,
    clip,
    convert,
    count_e2,
    dollars_e6,
    error_of,
    identifier,
    integer,
    parse,
    parse_error,
)

__all__ = [
    "Ending",
    "IdOf",
    "read_amend",
    "read_batch",
    "read_cancel",
    "read_cancel_batch",
    "read_create",
    "read_decrease",
]

_Body = TypeVar("_Body")

Ending = Answer | NotSent | OutcomeUnknown
# Reads the client_order_id of an order by its order_id: "" when the exchange has none, ReadFailed when unread.
IdOf = Callable[[str], str]

# Codes are compared without regard to case: the exchange writes them in more than one way.
DUPLICATE = "order_already_exists"
PAUSED = frozenset({"trading_is_paused", "exchange_is_paused"})
REFUSING = frozenset({400, 403, 404, 409, 410})
# Kalshi's FIX text for "unconfirmed": not a no, whatever status it comes with.
UNCONFIRMED = frozenset({"exchange_unavailable"})
# Codes of a batch item that mean no order was made. An item has no HTTP status to judge an unknown code by.
DEFINITE_ITEM_CODES = frozenset(
    {
        "available_balance_too_low",
        "bad_request",
        "exceeded_order_group_risk_limit",
        "exceeded_per_market_risk_limit",
        "fill_or_kill_insufficient_resting_volume",
        "insufficient_balance",
        "insufficient_shard_balance",
        "invalid_order",
        "invalid_order_size",
        "invalid_parameters",
        "invalid_price",
        "market_already_closed",
        "market_inactive",
        "market_not_found",
        "missing_parameters",
        "not_found",
        "order_group_not_found",
        "self_cross_attempt",
    }
)


def no_lookup(order_id: str) -> str:
    """For callers that cannot ask: an order without our id stays unproven."""
    raise ReadFailed(f"order {order_id} was not looked up")


# -- create -----------------------------------------------------------------------------------------------------


def read_create(ending: Ending, client_order_id: str, attempt: int, id_of: IdOf = no_lookup) -> Event:
    """What one create's ending says of its attempt; `id_of` is asked only when a 201 leaves our id out."""
    if not isinstance(ending, Answer):
        return _unanswered(ending, attempt)
    if 200 <= ending.status < 300:
        return _read_created(ending, client_order_id, attempt, id_of)
    return _read_error(ending, attempt)


def _read_created(answer: Answer, client_order_id: str, attempt: int, id_of: IdOf) -> Event:
    try:
        if answer.status not in (200, 201):
            raise Unreadable("a success that is not 201")
        body = convert(parse(answer.body), CreateBody)
        return _acknowledged(body, client_order_id, attempt, id_of)
    except _OtherId:
        return _unknown(answer, attempt, "other_id")
    except Unreadable:
        return _unknown(answer, attempt, "unreadable")


class _OtherId(Exception):
    """The answer is about another order than the one that was sent."""


def _acknowledged(body: CreateBody, client_order_id: str, attempt: int, id_of: IdOf) -> Acknowledged:
    """The yes of one order; Unreadable or _OtherId when it is not proven."""
    if body.client_order_id and body.client_order_id != client_order_id:
        raise _OtherId
    acknowledged = Acknowledged(
        attempt=attempt,
        order_id=identifier(body.order_id, "order_id"),
        fill_count_e2=count_e2(body.fill_count, "fill_count"),
        remaining_count_e2=count_e2(body.remaining_count, "remaining_count"),
        # Without a time the fact is older than every read: any read may then correct it.
        ts_ms=integer(body.ts_ms, "ts_ms") if body.ts_ms is not None else 0,
        average_fill_price_e6=_optional_dollars(body.average_fill_price),
        average_fee_paid_e6=_optional_dollars(body.average_fee_paid),
    )
    if not body.client_order_id:
        try:
            echoed = id_of(acknowledged.order_id)
        except ReadFailed:
            raise Unreadable("no client_order_id, and the order could not be read") from None
        if echoed != client_order_id:
            raise _OtherId
    return acknowledged


def _optional_dollars(text: str | None) -> int | None:
    """An average is a division and may have more digits than we keep: then it is left out, money comes from fills."""
    if not text:
        return None
    try:
        return dollars_e6(text, "average")
    except Unreadable:
        return None


# -- batched create ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    client_order_id: str
    attempt: int


def read_batch(ending: Ending, asked: Sequence[tuple[str, int]], id_of: IdOf = no_lookup) -> list[Event]:
    """One event per (client_order_id, attempt) asked, in that order."""
    if not isinstance(ending, Answer):
        return [_unanswered(ending, attempt) for _, attempt in asked]
    if 200 <= ending.status < 300:
        return _read_items(ending, [_Asked(*pair) for pair in asked], id_of)
    if len(asked) > 1 and ending.status in REFUSING:
        return [_read_batch_refusal(ending, attempt) for _, attempt in asked]
    return [_read_error(ending, attempt) for _, attempt in asked]


def _read_batch_refusal(answer: Answer, attempt: int) -> Event:
    """A no to the request as a whole says nothing about which order is at fault: they go out singly instead."""
    event = _read_error(answer, attempt)
    if isinstance(event, AttemptRefused):
        return NotProcessed(attempt=attempt, why="batch_refused", detail=f"{event.code}: {event.message}"[:500])
    if isinstance(event, IdTaken):
        # Some of the orders exist, perhaps because this very request was delivered twice: not a plain no.
        return _unknown(answer, attempt, "id_taken_in_batch")
    return event


def _read_items(answer: Answer, asked: list[_Asked], id_of: IdOf) -> list[Event]:
    try:
        if answer.status not in (200, 201, 207):
            raise Unreadable("a success that is not 201")
        value = parse(answer.body)
        listed = value.get("orders") if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise Unreadable("no list of orders")
        items = [_item(entry) for entry in listed]
    except Unreadable:
        return [_unknown(answer, each.attempt, "unreadable") for each in asked]
    matched = _match(_with_names(items, id_of), asked)
    return [
        _read_item(answer, item, each) if item is not None else _unknown(answer, each.attempt, "missing_item")
        for each, item in zip(asked, matched, strict=True)
    ]


def _item(entry: object) -> BatchItem:
    """An item that cannot be read stands for nothing, yet keeps its place."""
    try:
        return convert(entry, BatchItem)
    except Unreadable:
        return BatchItem(error="unreadable item")


def _match(items: list[BatchItem], asked: list[_Asked]) -> list[BatchItem | None]:
    """The item of each order asked: by its id, or by position where every item that has an id stands at its place.

    An item that made an order without saying which (and could not be looked up) may stand anywhere: then positions say
    nothing of the others that have no id either.
    """
    ids = [item.client_order_id for item in items]
    is_whole = len(items) == len(asked) and all(item.client_order_id or not item.order_id for item in items)
    if is_whole and all(not named or named == each.client_order_id for named, each in zip(ids, asked, strict=True)):
        return list(items)
    return [items[ids.index(each.client_order_id)] if ids.count(each.client_order_id) == 1 else None for each in asked]


def _with_names(items: list[BatchItem], id_of: IdOf) -> list[BatchItem]:
    """The items, those that made an order without naming it looked up, until a look-up fails."""
    named: list[BatchItem] = []
    reachable = True
    for item in items:
        if item.order_id and not item.client_order_id and reachable:
            try:
                item = msgspec.structs.replace(item, client_order_id=id_of(identifier(item.order_id, "order_id")))
            except Unreadable:
                pass
            except ReadFailed:
                reachable = False
        named.append(item)
    return named


def _read_item(answer: Answer, item: BatchItem, asked: _Asked) -> Event:
    try:
        if item.error is None:
            return _acknowledged(item, asked.client_order_id, asked.attempt, no_lookup)
        error = error_of(item.error)
        if item.order_id:
            raise Unreadable("both an order and an error")
    except _OtherId:
        return _unknown(answer, asked.attempt, "other_id")
    except Unreadable:
        return _unknown(answer, asked.attempt, "unreadable")
    return _read_item_error(error, asked.attempt)


def _read_item_error(error: ErrorBody, attempt: int) -> Event:
    special = _read_code(error, attempt)
    if special is not None:
        return special
    if error.code.lower() in DEFINITE_ITEM_CODES:
        return AttemptRefused(attempt=attempt, http_status=201, code=error.code, message=error.message)
    return AttemptUnknown(attempt=attempt, why="unknown_code", http_status=201, detail=f"{error.code}: {error.message}")


# -- cancel, amend, decrease -------------------------------------------------------------------------------------


def read_cancel(ending: Ending, order_id: str, attempt: int) -> Event:
    """What one cancel's ending says of its attempt. A 404 says nothing: the order has to be read."""
    return _read_change(ending, attempt, lambda answer: _canceled(_body(answer, CancelBody), order_id, attempt))


def read_amend(ending: Ending, order_id: str, attempt: int) -> Event:
    """What one amend's ending says of its attempt. A 404 says nothing: the order has to be read."""

    def yes(answer: Answer) -> Event:
        body = _body(answer, AmendBody)
        _same_order(body.order_id, order_id)
        left = body.remaining_count
        return AmendAcknowledged(
            attempt=attempt,
            order_id=order_id,
            ts_ms=integer(body.ts_ms, "ts_ms") if body.ts_ms is not None else None,
            remaining_count_e2=count_e2(left, "remaining_count") if left is not None else None,
        )

    return _read_change(ending, attempt, yes)


def read_decrease(ending: Ending, order_id: str, attempt: int) -> Event:
    """What one decrease's ending says of its attempt. A 404 says nothing: the order has to be read."""

    def yes(answer: Answer) -> Event:
        body = _body(answer, DecreaseBody)
        _same_order(body.order_id, order_id)
        return DecreaseAcknowledged(
            attempt=attempt,
            order_id=order_id,
            remaining_count_e2=count_e2(body.remaining_count, "remaining_count"),
            ts_ms=integer(body.ts_ms, "ts_ms") if body.ts_ms is not None else None,
        )

    return _read_change(ending, attempt, yes)


def _read_change(ending: Ending, attempt: int, yes: Callable[[Answer], Event]) -> Event:
    if not isinstance(ending, Answer):
        return _unanswered(ending, attempt)
    if 200 <= ending.status < 300:
        try:
            return yes(ending)
        except _OtherId:
            return _unknown(ending, attempt, "other_id")
        except Unreadable:
            return _unknown(ending, attempt, "unreadable")
    if ending.status == 404:
        return _unknown(ending, attempt, "not_found")
    event = _read_error(ending, attempt)
    return _unknown(ending, attempt, "unknown_code") if isinstance(event, IdTaken) else event


def _body(answer: Answer, kind: type[_Body]) -> _Body:
    if answer.status != 200:
        raise Unreadable("a success that is not 200")
    return convert(parse(answer.body), kind)


def _same_order(named: str | None, order_id: str) -> None:
    if identifier(named, "order_id") != order_id:
        raise _OtherId


def _canceled(body: CancelBody, order_id: str, attempt: int) -> Event:
    _same_order(body.order_id, order_id)
    return CancelAcknowledged(
        attempt=attempt,
        order_id=order_id,
        reduced_by_e2=count_e2(body.reduced_by, "reduced_by"),
        ts_ms=integer(body.ts_ms, "ts_ms") if body.ts_ms is not None else None,
    )


def read_cancel_batch(ending: Ending, asked: Sequence[tuple[str, int]]) -> list[Event]:
    """One event per (order_id, attempt) asked, in that order. An item is known by its order_id alone."""
    if isinstance(ending, Answer) and 200 <= ending.status < 300:
        return _read_cancel_items(ending, asked)
    events = [read_cancel(ending, order_id, attempt) for order_id, attempt in asked]
    if len(asked) == 1 or not isinstance(ending, Answer) or ending.status not in REFUSING:
        return events
    return [
        NotProcessed(attempt=x.attempt, why="batch_refused", detail=f"{x.code}: {x.message}"[:500])
        if isinstance(x, AttemptRefused)
        else x
        for x in events
    ]


def _read_cancel_items(answer: Answer, asked: Sequence[tuple[str, int]]) -> list[Event]:
    items: dict[str, CancelItem | None] = {}
    try:
        if answer.status not in (200, 207):
            raise Unreadable("a success that is not 200")
        value = parse(answer.body)
        listed = value.get("orders") if isinstance(value, dict) else None
        if not isinstance(listed, list):
            raise Unreadable("no list of orders")
        for each in listed:
            item = convert(each, CancelItem)
            name = identifier(item.order_id, "order_id")
            items[name] = None if name in items else item  # one named twice says nothing
    except Unreadable:
        return [_unknown(answer, attempt, "unreadable") for _, attempt in asked]
    return [_read_cancel_item(answer, items.get(order_id), order_id, attempt) for order_id, attempt in asked]


def _read_cancel_item(answer: Answer, item: CancelItem | None, order_id: str, attempt: int) -> Event:
    if item is None:
        return _unknown(answer, attempt, "missing_item")
    if item.error is None:
        try:
            return _canceled(item, order_id, attempt)
        except Unreadable:
            return _unknown(answer, attempt, "unreadable")
    error = error_of(item.error)
    if error.code.lower() in PAUSED:
        return NotProcessed(attempt=attempt, why="paused", detail=error.code)
    # Whatever the code of an item is: only a read of the order tells what became of it.
    why = "not_found" if error.code.lower() == "not_found" else "unknown_code"
    return AttemptUnknown(attempt=attempt, why=why, http_status=answer.status, detail=f"{error.code}: {error.message}")


# -- what all writes share --------------------------------------------------------------------------------------


def _unanswered(ending: NotSent | OutcomeUnknown, attempt: int) -> Event:
    detail = clip(ending.message, 500)
    if isinstance(ending, ClaimTooOld):
        return NotProcessed(attempt=attempt, why="claim_too_old", detail=detail)
    if isinstance(ending, NotSent):
        return NotProcessed(attempt=attempt, why="not_sent", detail=detail)
    return AttemptUnknown(attempt=attempt, why="no_answer", detail=detail)


def _read_error(answer: Answer, attempt: int) -> Event:
    """Anything but a 2xx."""
    error = parse_error(answer.body)
    if answer.status == 401:
        return NotProcessed(attempt=attempt, why="unauthorized", detail=error.code or error.message)
    if answer.status == 429:
        return NotProcessed(attempt=attempt, why="rate_limited", detail=error.code or error.message)
    if answer.status not in REFUSING:
        return _unknown(answer, attempt, "http_5xx" if answer.status >= 500 else f"http_{answer.status}")
    if not error.code:
        return _unknown(answer, attempt, "no_code")
    if _is_doubtful(error.code.lower()):
        return _unknown(answer, attempt, "unknown_code")
    return _read_code(error, attempt) or AttemptRefused(
        attempt=attempt, http_status=answer.status, code=error.code, message=error.message
    )


def _read_code(error: ErrorBody, attempt: int) -> Event | None:
    """The two codes that are neither a yes nor a no."""
    code = error.code.lower()
    if code == DUPLICATE:
        return IdTaken(attempt=attempt)
    if code in PAUSED:
        return NotProcessed(attempt=attempt, why="paused", detail=error.code)
    return None


def _is_doubtful(code: str) -> bool:
    """A code that may hide an order: unconfirmed, or a duplicate under a name we do not know."""
    return code in UNCONFIRMED or (code != DUPLICATE and ("already_exists" in code or "duplicate" in code))


def _unknown(answer: Answer, attempt: int, why: str) -> AttemptUnknown:
    return AttemptUnknown(attempt=attempt, why=why, http_status=answer.status, detail=clip(answer.body))
