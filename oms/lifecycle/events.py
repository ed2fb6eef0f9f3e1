"""Every fact that the ledger can record about an order or a command. PURE.

Events are named as past facts and are append-only. Two sorts: *evidence* is what the exchange (or the transport)
showed and is legal in every state, because the world does not ask; a *decision* is ours and is legal only where the
table says so. The tag of each struct is its `kind` column in the ledger: never rename one that has been released.
"""

from typing import Any

import msgspec

from oms.lifecycle.states import Action, CommandKind, Outcome, Reason


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """Base of all events."""


# -- decisions: ours, legal only where the table says so ---------------------------------------------------------


class Recorded(Event, frozen=True, tag="recorded"):
    """An intent became durable. For a create, `body` is the exact request body of every attempt ever made."""

    kind: CommandKind
    body: str = ""
    action: Action = Action.BUY
    outcome: Outcome = Outcome.YES
    own_id: bool = False  # the caller brought the client_order_id; it is proof only together with the fields
    tag: str | None = None
    submit_before_us: int | None = None
    # what an amend or decrease asks for: see states.Terms
    price_e6: int | None = None
    count_e2: int | None = None
    expiration_time: int | None = None
    reduce_to_e2: int | None = None


class Claimed(Event, frozen=True, tag="claimed"):
    """Attempt n may leave from now on: committed before the socket write (P1)."""

    attempt: int
    epoch: int
    signed_ms: int  # exchange clock; fixed here, signed once
    at_us: int  # our clock


class Withdrawn(Event, frozen=True, tag="withdrawn"):
    """Ended while no attempt may be live."""

    reason: Reason
    detail: str | None = None


class SenderDied(Event, frozen=True, tag="sender_died"):
    """A new epoch found it on the wire of a run that is gone (P5)."""

    epoch: int  # the new one


class AbsenceProven(Event, frozen=True, tag="absence_proven"):
    """A fenced, complete, witnessed scan shows none of its attempts (design 5)."""

    as_of_ms: int  # user_data_timestamp read before the scan
    fence_ms: int  # what it had to reach: last signed timestamp + horizon
    orders_seen: int
    witnesses: int
    final: bool  # True: it will not be sent again, for `reason`
    reason: Reason = Reason.PROVEN_ABSENT


class Requeued(Event, frozen=True, tag="requeued"):
    """Policy allows another attempt under the same id."""


class Resolved(Event, frozen=True, tag="resolved"):
    """A person decided about a parked command."""

    order_id: str | None  # None: it is not at the exchange
    detail: str | None = None


class Moot(Event, frozen=True, tag="moot"):
    """A cancel, amend or decrease whose order ended first, or never came to be."""

    detail: str


class EffectAbsent(Event, frozen=True, tag="effect_absent"):
    """A read no older than the attempt's fence shows the order unchanged."""

    as_of_ms: int
    fence_ms: int


# -- evidence: what was shown; legal in every state ------------------------------------------------------------


class Acknowledged(Event, frozen=True, tag="acknowledged"):
    """The exchange answered a create with our id and an order_id."""

    attempt: int
    order_id: str
    fill_count_e2: int
    remaining_count_e2: int
    ts_ms: int
    average_fill_price_e6: int | None = None  # per contract; its leg is unclear for asks: money comes from fills
    average_fee_paid_e6: int | None = None  # per contract and rounded: fees come from reads, not from this
    reason: Reason | None = None  # why the rest of it was canceled at once, where that can be told


class CancelAcknowledged(Event, frozen=True, tag="cancel_acknowledged"):
    """The exchange answered a cancel with the order_id we asked about."""

    attempt: int
    order_id: str
    reduced_by_e2: int
    ts_ms: int | None = None


class AmendAcknowledged(Event, frozen=True, tag="amend_acknowledged"):
    """The exchange answered an amend with the order_id we asked about."""

    attempt: int
    order_id: str
    ts_ms: int | None = None
    remaining_count_e2: int | None = None  # named only where something changed


class DecreaseAcknowledged(Event, frozen=True, tag="decrease_acknowledged"):
    """The exchange answered a decrease with the order_id we asked about."""

    attempt: int
    order_id: str
    remaining_count_e2: int
    ts_ms: int | None = None


class NotProcessed(Event, frozen=True, tag="not_processed"):
    """The attempt certainly had no effect and may be made again: not sent, 429, 401, paused, claim too old."""

    attempt: int
    why: str  # not_sent | rate_limited | unauthorized | paused | claim_too_old | stopped | batch_refused
    detail: str = ""
    not_before_us: int = 0


class AttemptRefused(Event, frozen=True, tag="attempt_refused"):
    """A definite no to this attempt, with the exchange's parsed code."""

    attempt: int
    http_status: int
    code: str
    message: str = ""


class AttemptUnknown(Event, frozen=True, tag="attempt_unknown"):
    """The attempt may have been acted on: no answer, 408, 5xx, or one that could not be understood (P4)."""

    attempt: int
    why: str  # no_answer | http_408 | http_5xx | unreadable | unknown_code | other_id | not_found ...
    http_status: int | None = None
    detail: str = ""  # the raw body, clipped


class IdTaken(Event, frozen=True, tag="id_taken"):
    """409 order_already_exists: some order holds this client_order_id; which one has to be read."""

    attempt: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as a read of the exchange showed it."""

    order_id: str
    client_order_id: str
    ticker: str
    side: str  # bid | ask
    status: str  # resting | executed | canceled, or a word we do not know
    price_e6: int  # YES price
    initial_count_e2: int
    fill_count_e2: int
    remaining_count_e2: int
    fees_e6: int = 0
    fill_cost_e6: int = 0
    created_ts_ms: int | None = None
    updated_ts_ms: int | None = None
    expiration_time: int | None = None  # unix seconds
    subaccount: int | None = None
    user_id: str = ""


class Found(Event, frozen=True, tag="found"):
    """A read shows the order of this create, by its exact client_order_id."""

    source: str  # orders | historical | order | fills
    as_of_ms: int
    order: Snapshot


class FoundForeign(Event, frozen=True, tag="found_foreign"):
    """A read shows an order under our client_order_id that cannot be ours."""

    source: str
    as_of_ms: int
    order: Snapshot
    differs: str  # the fields that do not fit


class EffectSeen(Event, frozen=True, tag="effect_seen"):
    """A read shows what a cancel, amend or decrease asked for."""

    source: str
    as_of_ms: int
    order: Snapshot


class Observed(Event, frozen=True, tag="observed"):
    """A read shows where an accepted order stands now."""

    source: str
    as_of_ms: int
    order: Snapshot
    reason: Reason | None = None  # why it is canceled, where that can be told and it was not we who asked


class Filled(Event, frozen=True, tag="filled"):
    """One trade of an accepted order; counted once per trade_id."""

    trade_id: str
    count_e2: int
    price_e6: int  # YES price
    fee_e6: int
    is_taker: bool
    ts_ms: int


class DuplicateSeen(Event, frozen=True, tag="duplicate_seen"):
    """A second order_id under one client_order_id: the thing that must never happen."""

    source: str
    order_id: str


class DuplicateSettled(Event, frozen=True, tag="duplicate_settled"):
    """A person has looked at a second order under one client_order_id: it is told as a break no more."""

    order_id: str
    detail: str = "acknowledged by hand"


DECISIONS: tuple[type[Event], ...] = (
    Claimed,
    Withdrawn,
    SenderDied,
    AbsenceProven,
    Requeued,
    Resolved,
    Moot,
    EffectAbsent,
)
EVIDENCE: tuple[type[Event], ...] = (
    Acknowledged,
    CancelAcknowledged,
    AmendAcknowledged,
    DecreaseAcknowledged,
    NotProcessed,
    AttemptRefused,
    AttemptUnknown,
    IdTaken,
    Found,
    FoundForeign,
    EffectSeen,
    Observed,
    Filled,
    DuplicateSeen,
    DuplicateSettled,
)
ALL_EVENTS: tuple[type[Event], ...] = (Recorded, *DECISIONS, *EVIDENCE)

_BY_TAG: dict[str, type[Event]] = {str(kind.__struct_config__.tag): kind for kind in ALL_EVENTS}
_DECODERS = {tag: msgspec.json.Decoder(kind) for tag, kind in _BY_TAG.items()}
_TAGS = {kind: tag for tag, kind in _BY_TAG.items()}
_encoder = msgspec.json.Encoder(order="deterministic")


def kind_of(event: Event) -> str:
    """The event's word in the ledger's `kind` column."""
    return _TAGS[type(event)]


def encode(event: Event) -> str:
    """The event as canonical JSON text: the same event always gives the same bytes (the hash chain rests on it)."""
    return _encoder.encode(event).decode()


def decode(kind: str, data: str) -> Event:
    """The event back from its kind and text; ValueError when the kind is unknown or the text does not fit it."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise ValueError(f"unknown event kind {kind!r}")
    decoded: Any = decoder.decode(data)
    assert isinstance(decoded, Event)
    return decoded
