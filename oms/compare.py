"""The ledger's view against the exchange's: which facts follow, and what does not fit. PURE.

Nothing here asks anybody anything: a `View` says what was read and how far it can be trusted, the answers are events
and breaks. The rules of proof are design section 5: found by exact client_order_id; absent only by a scan that is
fenced (its data are younger than the last attempt plus the in-flight horizon), complete, witnessed, and made with a
key that sees no less than the sender's. No error, timer or restart is evidence (P4).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from oms.lifecycle import events as e
from oms.lifecycle import replay
from oms.lifecycle.states import Command, CommandKind, CommandState, Order, OrderStatus, Reason, Resend, Terms
from oms.records import BreakRecord
from oms.units import format_count, format_dollars

# A list may compare whole seconds: a witness from the edge of the span is not demanded.
EDGE_MS = 2_000
# A cancel-all may also catch what is placed within the next minute, and its own moment is ours, not the exchange's.
_TAIL_MS = 62_000
# An order under a caller's own id must not be older than our first attempt; the exchange takes timestamps that are off
# by less than this.
_CLOCK_SLACK_MS = 30_000
# So many attempts of a cancel, amend or decrease that changed nothing: then a person should look.
MAX_CHANGE_ATTEMPTS = 5
# At most so many attempts of one create.
MAX_CREATE_ATTEMPTS = 50


class Known(Protocol):
    """What compare has to know of one command and its order; the ledger's entries are such."""

    @property
    def order_key(self) -> int: ...
    @property
    def client_order_id(self) -> str: ...
    @property
    def ticker(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def price_e6(self) -> int: ...
    @property
    def count_e2(self) -> int: ...
    @property
    def own_id(self) -> bool: ...
    @property
    def recorded_at_us(self) -> int: ...
    @property
    def expires_at_us(self) -> int | None: ...
    @property
    def command(self) -> Command: ...
    @property
    def order(self) -> Order: ...


class Requested(Known, Protocol):
    """One command with the exact request that it sends."""

    @property
    def body(self) -> str: ...


@dataclass(frozen=True, slots=True)
class View:
    """What one scan of the account's orders showed, and how far it can be trusted."""

    as_of_ms: int  # user_data_timestamp, read before the scan began (exchange clock)
    min_ts_ms: int | None  # the scan goes back to here; None: to the beginning
    is_complete: bool  # every page of every list that can hold such an order was read to its end
    order_ids: Collection[str]  # all that were seen
    client_order_ids: Collection[str]  # all that were seen
    nameless: Collection[e.Snapshot] = ()  # orders without a client_order_id: somebody else's, as far as we know
    unreadable: int = 0  # items that could not be read: any of them might be the one looked for
    sees_all: bool = True  # the key is the sender's, or was shown to belong to the same user


@dataclass(frozen=True, slots=True)
class Policy:
    """What the user wants done about orders whose absence is proven."""

    horizon_ms: int
    resend: Resend
    now_us: int
    cancel_asked: Collection[int] = field(default=frozenset())  # order_keys


# -- identity -----------------------------------------------------------------------------------------------------


def recognize(known: Known, seen: e.Snapshot, as_of_ms: int, source: str) -> e.Event | None:
    """The fact that a read of an order under our client_order_id is, or None when it tells nothing new.

    A derived id is proof by itself; a caller's own id counts only together with its fields and its age.
    """
    if known.order.order_id is not None:
        return _seen_again(known, seen, as_of_ms, source)
    differs = foreign_fields(known, seen) if known.own_id else ""
    if differs:
        if not _may_park(known.command):
            return None
        return e.FoundForeign(source=source, as_of_ms=as_of_ms, order=seen, differs=differs)
    return e.Found(source=source, as_of_ms=as_of_ms, order=seen)


def _may_park(command: Command) -> bool:
    """Not twice, not what has ended without this order, and not against what a person has decided."""
    settled = (CommandState.PARKED, CommandState.REFUSED, CommandState.WITHDRAWN, CommandState.ACCEPTED)
    return command.state not in settled and command.reason is not Reason.RESOLVED_BY_HAND


def _seen_again(known: Known, seen: e.Snapshot, as_of_ms: int, source: str) -> e.Event | None:
    event = e.Observed(source=source, as_of_ms=as_of_ms, order=seen)
    if replay.second_order_id(known.order, event) is not None:
        return event
    return event if replay.observe(known.order, event) != known.order else None


class Crossing(NamedTuple):
    """An order of ours that asked for self_trade_prevention_type maker, as it was placed."""

    order_key: int
    ticker: str
    side: str
    price_e6: int
    created_ts_ms: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is known when an order turns out to be canceled."""

    closed_ms: Mapping[str, int | None]  # markets that trade no more, and since when, where that is told
    triggered_groups: Collection[str]  # order_group_ids
    all_canceled_until_ms: int | None  # a cancel-all of ours reaches until then (exchange time)
    crossing: Collection[Crossing] = ()  # orders of ours that cancel others of ours instead of trading with them


def is_end_unasked(known: Known, event: e.Event) -> bool:
    """Whether the fact shows that an order which rested was canceled; whether we asked for it is another question."""
    return (
        isinstance(event, e.Observed)
        and known.order.status is OrderStatus.RESTING
        and event.order.status == "canceled"
        and event.order.order_id == known.order.order_id
    )


def with_reason(known: Requested, event: e.Event, around: Surroundings) -> e.Event:
    """The fact with why the order ended; lists do not say it, so it is the first cause that fits."""
    assert isinstance(event, e.Observed)
    asked = msgspec.json.decode(known.body)
    ended_ms = event.order.updated_ts_ms or event.as_of_ms
    expires = event.order.expiration_time or asked.get("expiration_time")
    tail_ms = around.all_canceled_until_ms
    if expires and ended_ms >= expires * 1000 - EDGE_MS:
        reason = Reason.EXPIRY
    elif asked.get("order_group_id") in around.triggered_groups:
        reason = Reason.ORDER_GROUP
    elif tail_ms is not None and tail_ms - _TAIL_MS <= ended_ms <= tail_ms:
        reason = Reason.CANCEL_ALL
    elif any(_meets(known, each, ended_ms) for each in around.crossing):
        reason = Reason.SELF_TRADE
    elif known.ticker in around.closed_ms and _had_closed(around.closed_ms[known.ticker], ended_ms, event.as_of_ms):
        reason = Reason.MARKET_CLOSED
    else:
        reason = Reason.CANCELED_ELSEWHERE
    return msgspec.structs.replace(event, reason=reason)


def _had_closed(closed_ms: int | None, ended_ms: int, now_ms: int) -> bool:
    """Whether a market that has closed by now had then; a time of closing that is still to come tells nothing."""
    return closed_ms is None or closed_ms > now_ms or ended_ms >= closed_ms - EDGE_MS


def _meets(known: Known, other: Crossing, ended_ms: int) -> bool:
    """Whether the other order would have traded with this one when this one ended."""
    price_e6 = known.order.price_e6 or known.price_e6
    bid_e6, ask_e6 = (price_e6, other.price_e6) if known.side == "bid" else (other.price_e6, price_e6)
    is_then = abs(other.created_ts_ms - ended_ms) <= EDGE_MS
    is_other = other.order_key != known.order_key and other.ticker == known.ticker and other.side != known.side
    return is_other and is_then and bid_e6 >= ask_e6


def foreign_fields(known: Known, seen: e.Snapshot) -> str:
    """Which fields of the order show that it cannot be the one we recorded under a caller's own id; "" if none."""
    differs = list(differing_fields(known, seen))
    # By the exchange's clock where there is an attempt: ours may be off by any amount.
    signed = (known.command.first_signed_ms, known.command.last_signed_ms)
    ours_ms = min((at_ms for at_ms in signed if at_ms is not None), default=known.recorded_at_us // 1000)
    if seen.created_ts_ms is not None and seen.created_ts_ms < ours_ms - _CLOCK_SLACK_MS:
        differs.append("created_time")
    return ", ".join(differs)


def differing_fields(known: Known, seen: e.Snapshot) -> Iterable[str]:
    """The wire fields in which an order at the exchange is not what we asked for."""
    if seen.ticker != known.ticker:
        yield "ticker"
    if seen.side != known.side:
        yield "side"
    if seen.price_e6 != known.price_e6:
        yield "price"
    if seen.initial_count_e2 != known.count_e2:
        yield "count"


# -- absence ------------------------------------------------------------------------------------------------------


def missing_witnesses(witnesses: Mapping[str, int], view: View) -> list[str]:
    """Orders we know the exchange took within the scan's span and that it does not show.

    With any of them missing, the scan is no observation: an empty listing, a wrong shard, a narrower key.
    """
    return [
        order_id
        for order_id, created_ms in witnesses.items()
        if order_id not in view.order_ids
        and created_ms <= view.as_of_ms
        and (view.min_ts_ms is None or created_ms >= view.min_ts_ms + EDGE_MS)
    ]


def look_alike(known: Known, view: View) -> e.Snapshot | None:
    """An order without a client_order_id that could be this create's: the same fields, placed since our first attempt.

    Whether Kalshi shows every order's client_order_id is not settled; such an order is no proof of either.
    """
    first_ms = known.command.first_signed_ms or known.recorded_at_us // 1000
    for seen in view.nameless:
        is_older = seen.created_ts_ms is not None and seen.created_ts_ms < first_ms - _CLOCK_SLACK_MS
        if not is_older and not list(differing_fields(known, seen)):
            return seen
    return None


def foreign(seen: e.Snapshot, as_of_ms: int) -> e.FoundForeign:
    """The fact that an order without a client_order_id may be the one looked for: the create is parked."""
    return e.FoundForeign(source="orders", as_of_ms=as_of_ms, order=seen, differs="client_order_id")


def fence_ms(command: Command, horizon_ms: int) -> int:
    """The exchange time that a read's data must have reached to tell that no attempt of the command landed."""
    assert command.last_signed_ms is not None
    return command.last_signed_ms + horizon_ms


def proves_absence(known: Known, view: View, missing: Collection[str], horizon_ms: int) -> bool:
    """Whether the scan proves that no attempt of this create is at the exchange, nor can still arrive.

    After a 409 the scan has to go back to the beginning: the order that holds the id may be older than our attempts
    (the same file placed from another ledger).
    """
    command = known.command
    assert command.first_signed_ms is not None
    covers = view.min_ts_ms is None or (not command.id_taken and view.min_ts_ms <= command.first_signed_ms - horizon_ms)
    return (
        view.is_complete
        and not view.unreadable
        and not missing
        and view.sees_all
        and covers
        and view.as_of_ms >= fence_ms(command, horizon_ms)
        and known.client_order_id not in view.client_order_ids
    )


def conclude_absence(known: Known, view: View, witnesses: int, policy: Policy) -> list[e.Event]:
    """The events of a create whose absence is proven: it ends, or it goes back to the queue under the same id."""
    reason = _no_resend(known, policy)
    proven = e.AbsenceProven(
        as_of_ms=view.as_of_ms,
        fence_ms=fence_ms(known.command, policy.horizon_ms),
        orders_seen=len(view.order_ids),
        witnesses=witnesses,
        final=reason is not None,
        reason=reason if reason is not None else Reason.PROVEN_ABSENT,
    )
    return [proven] if reason is not None else [proven, e.Requeued()]


def _no_resend(known: Known, policy: Policy) -> Reason | None:
    """Why an absent create is not sent again; None when it is."""
    if known.command.id_taken:
        return Reason.ID_CONSUMED
    if known.order_key in policy.cancel_asked:
        return Reason.CANCEL_REQUESTED
    if known.expires_at_us is not None and known.expires_at_us <= policy.now_us:
        return Reason.EXPIRED
    if policy.resend is Resend.NEVER or known.command.attempts >= MAX_CREATE_ATTEMPTS:
        return Reason.PROVEN_ABSENT
    return None


# -- cancels, amends, decreases -----------------------------------------------------------------------------------


def settle_change(known: Known, seen: e.Snapshot | None, as_of_ms: int, policy: Policy) -> list[e.Event]:
    """What a read of the order tells of a cancel, amend or decrease in doubt; nothing while it cannot tell."""
    if known.order.status in (OrderStatus.EXECUTED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.UNSENT):
        return [e.Moot(detail=f"the order is {known.order.status}")]
    if seen is None or seen.order_id != known.order.order_id:
        return []  # a 404 says nothing
    effect = e.EffectSeen(source="order", as_of_ms=as_of_ms, order=seen)
    shown = e.Observed(source="order", as_of_ms=as_of_ms, order=seen)
    is_cancel = known.command.kind is CommandKind.CANCEL
    if is_cancel and seen.status == "canceled":
        return [effect]
    if seen.status in ("executed", "canceled"):
        return [shown, e.Moot(detail=f"the order was {seen.status} first")]
    # Reads lag: one older than the fence may show the order as it was before, and an attempt may still be on its way.
    if as_of_ms < fence_ms(known.command, policy.horizon_ms):
        return []
    if not is_cancel and has_terms(known.command.terms, seen):
        return [effect]
    unchanged = e.EffectAbsent(as_of_ms=as_of_ms, fence_ms=fence_ms(known.command, policy.horizon_ms))
    return [unchanged, e.Requeued()] if _may_change_again(known, policy) else [unchanged]


def _may_change_again(known: Known, policy: Policy) -> bool:
    if known.command.attempts >= MAX_CHANGE_ATTEMPTS:
        return False
    if known.command.kind is CommandKind.CANCEL:
        return True  # it makes the account safer, whatever the policy for orders is
    is_late = known.expires_at_us is not None and known.expires_at_us <= policy.now_us
    return policy.resend is not Resend.NEVER and not is_late and known.order_key not in policy.cancel_asked


def has_terms(terms: Terms | None, seen: e.Snapshot) -> bool:
    """Whether a resting order is as an amend or decrease wants it: of a decrease, no more remains than it may."""
    assert terms is not None
    if terms.reduce_to_e2 is not None:
        return seen.remaining_count_e2 <= terms.reduce_to_e2
    expires = terms.expiration_time is None or (seen.expiration_time or 0) == terms.expiration_time
    total_e2 = seen.fill_count_e2 + seen.remaining_count_e2
    return seen.price_e6 == terms.price_e6 and total_e2 == terms.count_e2 and expires


# -- breaks -------------------------------------------------------------------------------------------------------


def order_breaks(known: Known, seen: e.Snapshot) -> list[BreakRecord]:
    """What does not fit between an order we know and a read of it."""
    if is_second(known, seen):
        is_known = replay.is_settled(known.order, seen.order_id)
        return [] if is_known else [duplicate_break(known, seen.order_id, seen.status)]
    if seen.client_order_id != known.client_order_id and seen.status == "resting":
        what = "somebody gave it another id elsewhere; oms goes on knowing it by its order_id"
        return [_break("renamed", known, known.client_order_id, seen.client_order_id, what)]
    is_ours = known.order.order_id is not None or not known.own_id
    if is_ours and (seen.ticker, seen.side) != (known.ticker, known.side):
        what = "no amend changes these: ask Kalshi, and cancel it if it is not wanted"
        return [_break("amended", known, f"{known.side} {known.ticker}", f"{seen.side} {seen.ticker}", what)]
    return []


def is_second(known: Known | None, seen: e.Snapshot) -> bool:
    """Whether the exchange shows another order under the client_order_id of one that it has taken from us."""
    return known is not None and known.order.order_id is not None and seen.order_id != known.order.order_id


def duplicate_break(known: Known, second_order_id: str, status: str, filled: str = "", more: str = "") -> BreakRecord:
    """`status` and `filled` are of the second order; `more` names further ones."""
    is_over = status in ("executed", "canceled")
    cancel = "" if is_over else f" cancel it with `oms cancel {second_order_id}` if it is too much;"
    return _break(
        "duplicate",
        known,
        f"one order, {known.order.order_id}",
        f"a second one, {second_order_id}, {status}{filled}{more}",
        f"look with `oms why {known.client_order_id}`;{cancel} then `oms resolve {known.client_order_id}"
        f" --acknowledge {second_order_id}`, and `oms unhalt` if sending is halted",
    )


def amended_break(known: Known) -> BreakRecord:
    """An order that rests at terms which nobody asked for here; `known` is as it was taken over."""
    return _break(
        "amended",
        known,
        f"{format_count(known.count_e2)} at {format_dollars(known.price_e6)}",
        f"{format_count(known.order.count_e2)} at {format_dollars(known.order.price_e6)}",
        "somebody amended it elsewhere; nothing to do if that was meant",
    )


def parked_break(known: Known) -> BreakRecord:
    return _break(
        "parked",
        known,
        "our order under this id",
        known.command.detail or "conflicting evidence",
        f"look at the order, then `oms resolve {known.client_order_id} --order-id ID` or `--absent`",
    )


def halted_break(reason: str) -> BreakRecord:
    return BreakRecord(
        kind="halted",
        client_order_id=None,
        order_id=None,
        ticker=None,
        expected="one order under one client_order_id",
        seen=reason,
        suggestion="look with `oms why`, cancel what is too much and still rests at the exchange, then `oms unhalt`",
    )


def late_break(known: Known) -> BreakRecord:
    return _break(
        "late",
        known,
        f"not at the exchange ({known.command.reason})",
        f"order {known.order.order_id}, {known.order.status}",
        f"it is live after all: `oms cancel {known.client_order_id}` if it is not wanted any more",
    )


def lost_break(known: Known) -> BreakRecord:
    return _break(
        "lost",
        known,
        f"order {known.order.order_id}, {known.order.status}",
        "the exchange does not show it",
        "ask Kalshi; it is not placed again",
    )


def fills_break(known: Known) -> BreakRecord:
    return _break(
        "fills",
        known,
        f"fill_count {format_count(known.order.fill_count_e2)}",
        f"trades of {format_count(known.order.traded_count_e2)}",
        "run `oms reconcile` again in a minute; fills are read with a delay",
    )


def position_break(ticker: str, differing: Iterable[tuple[int, int, int]]) -> BreakRecord:
    """A market whose positions do not tie out: (subaccount, what trades add up to, what the exchange shows) of each."""
    ours, seen = [], []
    for subaccount, ours_e2, seen_e2 in differing:
        where = f"subaccount {subaccount}: " if subaccount else ""
        ours.append(f"{where}{format_count(ours_e2)}")
        seen.append(f"{where}{format_count(seen_e2)}")
    return BreakRecord(
        kind="position",
        client_order_id=None,
        order_id=None,
        ticker=ticker,
        expected=f"{', '.join(ours)} by the account's trades and settlements",
        seen=f"{', '.join(seen)} at the exchange",
        suggestion=f"hold `oms fills --ticker {ticker}` against Kalshi's own list; read all again with `oms reconcile"
        " --since 90d`, then ask Kalshi; limits go by what the exchange shows",
    )


def no_effect_break(known: Known) -> BreakRecord:
    return _break(
        "no_effect",
        known,
        _DONE[known.command.kind],
        f"still {known.order.status} as before after {known.command.attempts} attempts",
        f"run `oms {known.command.kind} {known.client_order_id}` again, or do it on the website",
    )


_DONE = {CommandKind.CANCEL: "canceled", CommandKind.AMEND: "amended", CommandKind.DECREASE: "decreased"}


def unreadable_break(client_order_id: str, order_id: str, why: str) -> BreakRecord:
    return BreakRecord(
        kind="unreadable",
        client_order_id=client_order_id or None,
        order_id=order_id or None,
        ticker=None,
        expected="an order that can be read",
        seen=why,
        suggestion="no absence is concluded while this lasts; upgrade oms if Kalshi has changed its format",
    )


def _break(kind: str, known: Known, expected: str, seen: str, suggestion: str) -> BreakRecord:
    return BreakRecord(
        kind=kind,
        client_order_id=known.client_order_id,
        order_id=known.order.order_id,
        ticker=known.ticker,
        expected=expected,
        seen=seen,
        suggestion=suggestion,
    )
