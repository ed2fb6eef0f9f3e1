"""Requests about no order of this ledger: what may become of one, as a table of its own. PURE.

An *action* cancels everything of the account, cancels somebody else's order, or makes or changes an order group. It
has the same promise as a command: recorded before it is sent, numbered attempts, in doubt until there is evidence. It
has no order whose state would follow, so that its table is short. Two kinds of kinds: what only makes the account
safer (WAYS_OUT) may be sent again as soon as a reading shows that it had no effect; everything else only once nothing
of an earlier attempt can arrive any more, and GROUP_CREATE never by itself: twice would be two groups.
"""

import msgspec
from msgspec.structs import replace

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle.states import ActionKind, CommandState, Reason
from oms.units import parse_count

S = CommandState

# Asking twice is asking once, and late is not worse than never.
WAYS_OUT = (
    ActionKind.CANCEL_ALL,
    ActionKind.CANCEL_EXTERNAL,
    ActionKind.GROUP_TRIGGER,
    ActionKind.GROUP_DELETE,
)
GROUP_KINDS = tuple(kind for kind in ActionKind if kind.value.startswith("group_"))


class ActionRecorded(e.Event, frozen=True, tag="action_recorded"):
    """A request became durable; `body` is exactly what every attempt sends."""

    kind: ActionKind
    target: str  # order_id, order_group_id, or the name of a group to be; "" for the whole account
    ticker: str | None = None
    subaccount: int | None = None
    body: str = ""
    before: tuple[str, ...] = ()  # of a group_create: the groups that were there, so that a new one can be told
    purpose: str = ""  # the command that asked


class Done(e.Event, frozen=True, tag="done"):
    """The exchange said yes."""

    attempt: int
    order_group_id: str | None = None  # of a group_create
    subaccount: int | None = None
    exchange_index: int | None = None
    reduced_by_e2: int | None = None  # of a cancel_external


class EffectShown(e.Event, frozen=True, tag="effect_shown"):
    """A reading shows what was asked for."""

    as_of_ms: int
    order_group_id: str | None = None  # of a group_create
    detail: str = ""


class EffectMissing(e.Event, frozen=True, tag="effect_missing"):
    """A reading that shows everything the attempts can have done shows nothing of it."""

    as_of_ms: int
    fence_ms: int  # exchange time at which nothing of any attempt was under way any more
    detail: str = ""


class Undecidable(e.Event, frozen=True, tag="undecidable"):
    """A reading shows what may be ours or somebody else's: a person decides."""

    as_of_ms: int
    detail: str


class Decided(e.Event, frozen=True, tag="decided"):
    """A person says what became of it: that it is this group, or (None) that it had no effect."""

    order_group_id: str | None
    detail: str = "decided by hand"


ACTION_EVENTS: tuple[type[e.Event], ...] = (ActionRecorded, Done, EffectShown, EffectMissing, Undecidable, Decided)
_SHARED = (e.Claimed, e.Withdrawn, e.SenderDied, e.Requeued, e.Moot, e.NotProcessed, e.AttemptRefused, e.AttemptUnknown)
_KINDS: tuple[type[e.Event], ...] = (*ACTION_EVENTS, *_SHARED)
_TAGS = {kind: str(kind.__struct_config__.tag) for kind in _KINDS}
_DECODERS = {tag: msgspec.json.Decoder(kind) for kind, tag in _TAGS.items()}
_DECISIONS = (e.Claimed, e.Withdrawn, e.SenderDied, e.Requeued, e.Moot, EffectMissing, Undecidable, Decided)


class Action(msgspec.Struct, frozen=True):
    """One request and what is known of it."""

    kind: ActionKind
    state: CommandState = CommandState.QUEUED
    attempts: int = 0
    live: tuple[int, ...] = ()  # attempts without a definite outcome
    epoch: int | None = None
    first_signed_ms: int | None = None
    last_signed_ms: int | None = None
    not_before_us: int = 0
    reason: Reason | None = None
    detail: str | None = None


# In STATE, EVENT leads to the first state, or to the second while another attempt may still be live.
ACTION_TABLE: dict[tuple[S, type[e.Event]], tuple[S, S]] = {
    (S.QUEUED, e.Claimed): (S.ON_WIRE, S.ON_WIRE),
    (S.QUEUED, e.Withdrawn): (S.WITHDRAWN, S.WITHDRAWN),
    (S.QUEUED, e.Moot): (S.REFUSED, S.REFUSED),
    (S.ON_WIRE, Done): (S.ACCEPTED, S.ACCEPTED),
    (S.ON_WIRE, e.NotProcessed): (S.QUEUED, S.IN_DOUBT),
    (S.ON_WIRE, e.AttemptRefused): (S.REFUSED, S.IN_DOUBT),
    (S.ON_WIRE, e.AttemptUnknown): (S.IN_DOUBT, S.IN_DOUBT),
    (S.ON_WIRE, e.SenderDied): (S.IN_DOUBT, S.IN_DOUBT),
    (S.IN_DOUBT, Done): (S.ACCEPTED, S.ACCEPTED),
    (S.IN_DOUBT, EffectShown): (S.ACCEPTED, S.ACCEPTED),
    (S.IN_DOUBT, e.NotProcessed): (S.QUEUED, S.IN_DOUBT),
    (S.IN_DOUBT, e.AttemptRefused): (S.REFUSED, S.IN_DOUBT),
    (S.IN_DOUBT, e.Moot): (S.REFUSED, S.REFUSED),
    (S.IN_DOUBT, EffectMissing): (S.ABSENT, S.ABSENT),
    (S.IN_DOUBT, Undecidable): (S.PARKED, S.PARKED),
    (S.IN_DOUBT, e.Claimed): (S.ON_WIRE, S.ON_WIRE),  # WAYS_OUT alone
    (S.ABSENT, e.Requeued): (S.QUEUED, S.QUEUED),
    (S.ABSENT, Done): (S.ACCEPTED, S.ACCEPTED),
    (S.ABSENT, EffectShown): (S.ACCEPTED, S.ACCEPTED),
    (S.REFUSED, Done): (S.ACCEPTED, S.ACCEPTED),
    (S.PARKED, Done): (S.ACCEPTED, S.ACCEPTED),
    (S.PARKED, EffectShown): (S.ACCEPTED, S.ACCEPTED),
    (S.PARKED, Decided): (S.ACCEPTED, S.ABSENT),  # the second: it had no effect
}


def begin_action(event: ActionRecorded) -> Action:
    """The action that a recorded event brings into being."""
    return Action(kind=event.kind)


def apply_action(action: Action, event: e.Event) -> Action:
    """What one event makes of an action.

    Evidence without a row changes nothing and never raises. Raises InvalidTransition for a decision that the table
    does not allow.
    """
    rule = ACTION_TABLE.get((action.state, type(event)))
    if rule is None or not _fits(action, event):
        if isinstance(event, _DECISIONS):
            name = _TAGS[type(event)]
            raise InvalidTransition(f"{name} is not allowed for a {action.kind} that is {action.state}")
        return action
    match event:
        case e.Claimed():
            return replace(
                action,
                state=S.ON_WIRE,
                attempts=event.attempt,
                live=(*action.live, event.attempt),
                epoch=event.epoch,
                first_signed_ms=min(event.signed_ms, action.first_signed_ms or event.signed_ms),
                last_signed_ms=max(event.signed_ms, (action.live and action.last_signed_ms) or 0),
                not_before_us=0,
                reason=None,
                detail=None,
            )
        case e.NotProcessed() | e.AttemptRefused():
            return _settled(action, rule, event)
        case _:
            return _moved(action, rule, event)


def _fits(action: Action, event: e.Event) -> bool:
    match event:
        case e.Claimed():
            may = action.state is S.QUEUED or action.kind in WAYS_OUT
            return may and event.attempt == action.attempts + 1
        case e.Requeued():
            return action.kind is not ActionKind.GROUP_CREATE
        case _:
            return True


def _settled(action: Action, rule: tuple[S, S], event: e.NotProcessed | e.AttemptRefused) -> Action:
    """An answer settles its own attempt only."""
    if event.attempt not in action.live:
        return action
    live = tuple(n for n in action.live if n != event.attempt)
    if live:
        return replace(action, state=rule[1], live=live, reason=action.reason or Reason.NO_ANSWER)
    if isinstance(event, e.AttemptRefused):
        detail = f"{event.code}: {event.message}" if event.message else event.code
        return replace(action, state=rule[0], live=(), reason=Reason.REFUSED, detail=detail)
    detail = f"{event.why}: {event.detail}" if event.detail else event.why
    not_before_us = event.not_before_us
    return replace(action, state=rule[0], live=(), reason=Reason.WAITING, detail=detail, not_before_us=not_before_us)


def _moved(action: Action, rule: tuple[S, S], event: e.Event) -> Action:
    match event:
        case e.AttemptUnknown():
            return replace(action, state=rule[0], reason=Reason.NO_ANSWER, detail=_unknown_text(event))
        case e.SenderDied():
            return replace(action, state=rule[0], reason=Reason.SENDER_DIED, detail=None)
        case e.Withdrawn():
            return replace(action, state=rule[0], reason=event.reason, detail=event.detail)
        case e.Moot():
            return replace(action, state=rule[0], live=(), reason=Reason.MOOT, detail=event.detail)
        case EffectMissing():
            return replace(action, state=rule[0], live=(), reason=Reason.NO_EFFECT, detail=event.detail or None)
        case Undecidable():
            return replace(action, state=rule[0], reason=Reason.CONFLICT, detail=event.detail)
        case Decided():
            state = rule[0] if event.order_group_id is not None else rule[1]
            return replace(action, state=state, live=(), reason=Reason.RESOLVED_BY_HAND, detail=event.detail)
        case e.Requeued():
            return replace(action, state=rule[0], live=(), reason=Reason.WAITING, detail=None)
        case _:
            return replace(action, state=rule[0], live=(), reason=None, detail=None)


def _unknown_text(event: e.AttemptUnknown) -> str:
    status = f" (HTTP {event.http_status})" if event.http_status is not None else ""
    return f"{event.why}{status}: {event.detail}" if event.detail else f"{event.why}{status}"


def group_of(event: e.Event) -> str | None:
    """The group that an event says a group_create has made."""
    return event.order_group_id if isinstance(event, Done | EffectShown | Decided) else None


def encode_action(event: e.Event) -> tuple[str, str]:
    """(kind, canonical JSON) of an event of an action."""
    return _TAGS[type(event)], _encoder.encode(event).decode()


def decode_action(kind: str, data: str) -> e.Event:
    """The event back; ValueError when the kind is unknown or the text does not fit it."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise ValueError(f"unknown event kind {kind!r} of an action")
    event = decoder.decode(data)
    assert isinstance(event, e.Event)
    return event


_encoder = msgspec.json.Encoder(order="deterministic")


# -- what a reading says of an action in doubt ------------------------------------------------------------------------


class GroupSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One order group as a list of the exchange shows it."""

    order_group_id: str
    is_triggered: bool
    contracts_limit_e2: int | None = None
    exchange_index: int | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read to settle an action, and when (exchange clock, ms, before the reading began)."""

    as_of_ms: int
    groups: dict[str, GroupSeen] | None = None  # all groups of its subaccount
    resting: frozenset[str] | None = None  # order_ids that rested before the first attempt and still do


def settle_group(action: Action, recorded: ActionRecorded, seen: Reading, fence_ms: int) -> e.Event | None:
    """What a complete list of groups says of a group action in doubt; None: nothing yet."""
    assert seen.groups is not None
    if action.kind is ActionKind.GROUP_CREATE:
        return _settle_create(recorded, seen, fence_ms)
    group = seen.groups.get(recorded.target)
    missing = EffectMissing(as_of_ms=seen.as_of_ms, fence_ms=fence_ms)
    is_fenced = seen.as_of_ms >= fence_ms
    if action.kind is ActionKind.GROUP_DELETE:
        if group is None:
            return EffectShown(as_of_ms=seen.as_of_ms, detail="the group is gone")
        return missing if is_fenced else None
    if group is None:
        return e.Moot(detail="there is no such group any more") if is_fenced else None
    if action.kind is ActionKind.GROUP_TRIGGER and group.is_triggered:
        return EffectShown(as_of_ms=seen.as_of_ms, detail="the group is triggered")
    if not is_fenced:
        return None
    wanted = wanted_limit_e2(recorded)
    if action.kind is ActionKind.GROUP_LIMIT and group.contracts_limit_e2 == wanted:
        return EffectShown(as_of_ms=seen.as_of_ms, detail="the group has that limit")
    # What a reset does to a group that was not triggered cannot be seen.
    return missing


def _settle_create(recorded: ActionRecorded, seen: Reading, fence_ms: int) -> e.Event | None:
    assert seen.groups is not None
    wanted = wanted_limit_e2(recorded)
    new = [group for name, group in seen.groups.items() if name not in recorded.before]
    fitting = [group for group in new if group.contracts_limit_e2 in (None, wanted)]
    if not fitting:
        if seen.as_of_ms < fence_ms:
            return None
        return EffectMissing(as_of_ms=seen.as_of_ms, fence_ms=fence_ms, detail=f"{len(seen.groups)} groups were listed")
    names = ", ".join(group.order_group_id for group in fitting[:5])
    if len(fitting) > 1 or fitting[0].contracts_limit_e2 is None:
        return Undecidable(as_of_ms=seen.as_of_ms, detail=f"new groups that may be this one: {names}")
    if seen.as_of_ms < fence_ms:
        return None  # another one may still come, and then nobody can tell
    return EffectShown(as_of_ms=seen.as_of_ms, order_group_id=fitting[0].order_group_id, detail="the only new group")


def wanted_limit_e2(recorded: ActionRecorded) -> int | None:
    """The limit that the body of a group_create or group_limit asks for, contracts x 10^2."""
    try:
        text = msgspec.json.decode(recorded.body or "{}", type=dict[str, object]).get("contracts_limit_fp")
    except msgspec.DecodeError:
        return None
    return parse_count(text) if isinstance(text, str) else None
