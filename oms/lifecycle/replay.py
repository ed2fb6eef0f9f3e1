"""One event applied to a command and its order; a whole history replayed. PURE.

`apply` is the only function that changes a state anywhere in oms: live work, recovery and the check of the ledger
against its own events (P7) all go through it.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from oms.errors import InvalidTransition
from oms.lifecycle import events as e
from oms.lifecycle.states import MODIFIES, Command, CommandKind, CommandState, Order, OrderStatus, Reason, Terms
from oms.lifecycle.table import Rule, may_move, rule_of

S = CommandState

_SHOWN = (e.Found, e.Observed)  # what shows an order as the exchange lists it
_WORDS = {s.value: s for s in (OrderStatus.RESTING, OrderStatus.EXECUTED, OrderStatus.CANCELED)}


def begin(event: e.Recorded) -> Command:
    """The command that a Recorded event brings into being."""
    if event.kind not in MODIFIES:
        return Command(kind=event.kind)
    return Command(kind=event.kind, terms=terms_of(event))


def terms_of(event: e.Recorded) -> Terms:
    """What a recorded amend or decrease asks for."""
    return Terms(
        price_e6=event.price_e6,
        count_e2=event.count_e2,
        expiration_time=event.expiration_time,
        reduce_to_e2=event.reduce_to_e2,
    )


def apply(command: Command, order: Order, event: e.Event) -> tuple[Command, Order]:
    """What one event makes of a command and of the order it is about.

    An event already applied changes nothing more (P6). Raises InvalidTransition for a decision the table does not
    allow; evidence never raises.
    """
    rule = rule_of(command.kind, command.state, type(event))
    if rule is None or not _fits(command, order, event):
        if isinstance(event, e.DECISIONS):
            raise InvalidTransition(f"{e.kind_of(event)} is not allowed for a {command.kind} that is {command.state}")
        return command, _order_shown(order, event)
    after = _command_after(command, rule, event)
    if command.kind is CommandKind.CREATE:
        return after, _created(order, after, rule, event)
    if command.kind is CommandKind.CANCEL:
        return after, _canceled(order, event)
    assert command.terms is not None
    return after, _modified(order, command.terms, event)


def _fits(command: Command, order: Order, event: e.Event) -> bool:
    """What a decision needs beyond its row: attempts are numbered, and what was given up for good is not sent again."""
    match event:
        case e.Claimed():
            return event.attempt == command.attempts + 1
        case e.Requeued():
            return command.kind is not CommandKind.CREATE or order.status is OrderStatus.PENDING
        case _:
            return True


def apply_all(command: Command, order: Order, history: Iterable[e.Event]) -> tuple[Command, Order]:
    """A whole history in order; the same rows come out whenever the same events go in (P7)."""
    for event in history:
        command, order = apply(command, order, event)
    return command, order


def observe(order: Order, event: e.Event) -> Order:
    """What a fact about the order alone (seen again, filled, doubled) makes of it."""
    return _order_shown(order, event)


def status_from_counts(count_e2: int, fill_e2: int, remaining_e2: int) -> OrderStatus:
    """Status of a create answered 201, which names none: the rule of Kalshi's V2 create response."""
    if remaining_e2 > 0:
        return OrderStatus.RESTING
    return OrderStatus.EXECUTED if fill_e2 >= count_e2 else OrderStatus.CANCELED


def second_order_id(order: Order, event: e.Event) -> str | None:
    """The other order_id, when the event shows a second order under this order's client_order_id, not yet noted."""
    if isinstance(event, e.Acknowledged):
        other = event.order_id
    elif isinstance(event, _SHOWN):
        other = event.order.order_id
    else:
        return None
    if order.order_id is None or other == order.order_id or is_noted(order, other):
        return None
    return other


def is_noted(order: Order, other_order_id: str) -> bool:
    """Whether a second order_id under this order's id is on record already: said once, not at every read (P6)."""
    return order.detail is not None and other_order_id in order.detail


def is_settled(order: Order, other_order_id: str) -> bool:
    """Whether a person has looked at that second order."""
    return order.detail is not None and f"{_SECOND}{other_order_id}{_SETTLED}" in order.detail.split("; ")


def _noted(order: Order, other_order_id: str) -> Order:
    before = f"{order.detail}; " if order.detail else ""
    return replace(order, detail=f"{before}{_SECOND}{other_order_id}")


def _settled(order: Order, other_order_id: str) -> Order:
    noted = f"{_SECOND}{other_order_id}"
    parts = (order.detail or "").split("; ")
    if noted not in parts:
        return order
    return replace(order, detail="; ".join(part + _SETTLED if part == noted else part for part in parts))


_SECOND = "a second order under this id: "
_SETTLED = " (acknowledged)"


# -- commands -----------------------------------------------------------------------------------------------------


def _command_after(command: Command, rule: Rule, event: e.Event) -> Command:
    match event:
        case e.Claimed():
            return replace(
                command,
                state=rule.next,
                attempts=event.attempt,
                live=(*command.live, event.attempt),
                epoch=event.epoch,
                first_signed_ms=min(event.signed_ms, command.first_signed_ms or event.signed_ms),
                # An attempt known to be no cannot arrive any more. Its time may be that of a clock which was fast
                # until the exchange said so, and would keep the order back until that time has come.
                last_signed_ms=max(event.signed_ms, (command.live and command.last_signed_ms) or 0),
                not_before_us=0,
                reason=None,
                detail=None,
            )
        case e.NotProcessed() | e.AttemptRefused():
            return _attempt_settled(command, rule, event)
        case e.AttemptUnknown():
            if _is_earlier(command, event.attempt):
                return command
            return replace(command, state=rule.next, reason=Reason.NO_ANSWER, detail=_unknown_text(event))
        case e.IdTaken():
            state = command.state if _is_earlier(command, event.attempt) else rule.next
            return replace(command, state=state, id_taken=True, reason=Reason.ID_TAKEN, detail=None)
        case e.SenderDied():
            return replace(command, state=rule.next, reason=Reason.SENDER_DIED, detail=None)
        case e.AbsenceProven():
            return _absent(command, rule, event)
        case e.EffectAbsent():
            return replace(command, state=rule.next, live=(), reason=Reason.NO_EFFECT, detail=None)
        case e.Requeued():
            return replace(command, state=rule.next, live=(), reason=Reason.WAITING, detail=None)
        case e.Withdrawn():
            return replace(command, state=rule.next, reason=event.reason, detail=event.detail)
        case e.Moot():
            return replace(command, state=rule.next, live=(), reason=Reason.MOOT, detail=event.detail)
        case e.FoundForeign():
            return replace(command, state=rule.next, reason=Reason.CONFLICT, detail=_conflict_text(event))
        case e.Resolved():
            decided = rule.next if event.order_id is not None else rule.otherwise
            assert decided is not None
            return replace(command, state=decided, live=(), reason=Reason.RESOLVED_BY_HAND, detail=event.detail)
        case _:
            return replace(command, state=rule.next, live=(), reason=None, detail=None)


def _is_earlier(command: Command, attempt: int) -> bool:
    """Whether the answer is to another attempt than the one that is on the wire: it leaves that one there."""
    return command.state is S.ON_WIRE and attempt != command.attempts


def _attempt_settled(command: Command, rule: Rule, event: e.NotProcessed | e.AttemptRefused) -> Command:
    if event.attempt not in command.live:
        return command
    live = tuple(n for n in command.live if n != event.attempt)
    if live:
        assert rule.next_if_live is not None
        state = S.ON_WIRE if _is_earlier(command, event.attempt) else rule.next_if_live
        return replace(command, state=state, live=live, reason=command.reason or Reason.NO_ANSWER)
    if isinstance(event, e.NotProcessed):
        detail = f"{event.why}: {event.detail}" if event.detail else event.why
        return replace(
            command,
            state=rule.next,
            live=(),
            not_before_us=event.not_before_us,
            reason=Reason.WAITING,
            detail=detail,
        )
    return replace(command, state=rule.next, live=(), reason=Reason.REFUSED, detail=_refusal_text(event))


def _absent(command: Command, rule: Rule, event: e.AbsenceProven) -> Command:
    if command.id_taken:
        assert rule.otherwise is not None
        # The exchange said 409 and yet shows no such order: it burned the id, so sending it again can only fail.
        return replace(command, state=rule.otherwise, live=(), reason=Reason.ID_CONSUMED, detail=None)
    return replace(command, state=rule.next, live=(), reason=event.reason, detail=None)


def _unknown_text(event: e.AttemptUnknown) -> str:
    status = f" (HTTP {event.http_status})" if event.http_status is not None else ""
    return f"{event.why}{status}: {event.detail}" if event.detail else f"{event.why}{status}"


def _refusal_text(event: e.AttemptRefused) -> str:
    return f"{event.code}: {event.message}" if event.message and event.message != event.code else event.code


def _conflict_text(event: e.FoundForeign) -> str:
    if not event.order.client_order_id:
        return f"order {event.order.order_id} shows no client_order_id, and is otherwise like this one"
    return f"order {event.order.order_id} holds this id but differs in {event.differs}"


# -- orders -------------------------------------------------------------------------------------------------------


def _created(order: Order, command: Command, rule: Rule, event: e.Event) -> Order:
    """The order after an event of its create command that has a row in the table."""
    # Parked in between or not: an order that was concluded not to be there and turns up is late.
    late = order.late or rule.late or order.status in (OrderStatus.UNSENT, OrderStatus.REJECTED)
    match event:
        case e.Claimed():
            return replace(order, sent_at_us=order.sent_at_us if order.sent_at_us is not None else event.at_us)
        case e.Acknowledged():
            return _acknowledged(order, event, late)
        case e.Found():
            return _merged(order, event.order, event.as_of_ms, late)
        case e.Resolved() if event.order_id is not None:
            return replace(
                order,
                status=OrderStatus.RESTING,
                order_id=event.order_id,
                late=late,
                reason=command.reason,
                detail=command.detail,
            )
        case _:
            return _ended_without_order(order, command, event)


def _ended_without_order(order: Order, command: Command, event: e.Event) -> Order:
    if command.state is S.REFUSED:
        return replace(order, status=OrderStatus.REJECTED, reason=command.reason, detail=command.detail)
    if command.state is S.WITHDRAWN:
        return replace(order, status=OrderStatus.UNSENT, reason=command.reason, detail=command.detail)
    if command.state is S.ABSENT and not (isinstance(event, e.AbsenceProven) and not event.final):
        return replace(order, status=OrderStatus.UNSENT, reason=command.reason, detail=command.detail)
    return order


def _acknowledged(order: Order, event: e.Acknowledged, late: bool) -> Order:
    status = status_from_counts(order.count_e2, event.fill_count_e2, event.remaining_count_e2)
    return replace(
        order,
        status=status,
        order_id=event.order_id,
        fill_count_e2=max(order.fill_count_e2, event.fill_count_e2),
        remaining_count_e2=event.remaining_count_e2,
        average_fill_price_e6=event.average_fill_price_e6,
        # Nothing filled, nothing paid: else the first read of every resting order would be news.
        fees_e6=order.fees_e6 if event.fill_count_e2 else 0,
        fact_ts_ms=max(order.fact_ts_ms, event.ts_ms),
        created_ts_ms=event.ts_ms if order.created_ts_ms is None else order.created_ts_ms,
        late=late,
        reason=event.reason if status is OrderStatus.CANCELED else None,
        detail=None,
    )


def _canceled(order: Order, event: e.Event) -> Order:
    """The order after an event of one of its cancel commands that has a row in the table."""
    if isinstance(event, e.CancelAcknowledged):
        # Nothing taken off the book says only that there was nothing left to take: a read tells how it ended.
        if event.reduced_by_e2 <= 0 or event.order_id != order.order_id or order.status is not OrderStatus.RESTING:
            return order
        return replace(
            order,
            status=OrderStatus.CANCELED,
            remaining_count_e2=0,
            fact_ts_ms=max(order.fact_ts_ms, event.ts_ms or 0),
        )
    return _order_shown(order, event)


def _modified(order: Order, terms: Terms, event: e.Event) -> Order:
    """The order after an event of one of its amends or decreases that has a row in the table."""
    match event:
        case e.AmendAcknowledged():
            assert terms.price_e6 is not None
            assert terms.count_e2 is not None
            count, price = terms.count_e2, terms.price_e6
            remaining = max(0, count - order.fill_count_e2)
            if event.remaining_count_e2 is not None:
                remaining = event.remaining_count_e2
        case e.DecreaseAcknowledged():
            # Of trades that are not known yet the next reading tells, and of the count with them.
            count, price = order.fill_count_e2 + event.remaining_count_e2, order.price_e6
            remaining = event.remaining_count_e2
        case e.EffectSeen():
            shown = _order_shown(order, event)
            return replace(shown, terms_elsewhere=False)
        case _:
            return _order_shown(order, event)
    if event.order_id != order.order_id or order.status is not OrderStatus.RESTING:
        return order
    return replace(
        order,
        count_e2=count,
        price_e6=price,
        remaining_count_e2=remaining,
        terms_elsewhere=False,
        fact_ts_ms=max(order.fact_ts_ms, event.ts_ms or 0),
    )


def _order_shown(order: Order, event: e.Event) -> Order:
    """The order after evidence that moves no command."""
    match event:
        case e.Observed() if order.order_id is not None:
            after = _merged(order, event.order, event.as_of_ms, order.late)
            ended = order.status is OrderStatus.RESTING and after.status is OrderStatus.CANCELED
            return replace(after, reason=event.reason) if ended and event.reason is not None else after
        case e.Found() | e.EffectSeen() if order.order_id is not None:
            return _merged(order, event.order, event.as_of_ms, order.late)
        case e.Filled():
            return _filled(order, event)
        case e.DuplicateSeen():
            return order if is_noted(order, event.order_id) else _noted(order, event.order_id)
        case e.DuplicateSettled():
            return _settled(order, event.order_id)
        case _:
            return order


def _merged(order: Order, seen: e.Snapshot, as_of_ms: int, late: bool) -> Order:
    """The order joined with a read of it: fill_count never falls, a terminal status never reopens."""
    # What the read shows may be younger than the time that was asked for before it.
    as_of_ms = max(as_of_ms, seen.updated_ts_ms or 0)
    if order.order_id is not None and (seen.order_id != order.order_id or as_of_ms < order.fact_ts_ms):
        return order
    status = _WORDS.get(seen.status)
    if status is None:
        status = status_from_counts(seen.initial_count_e2, seen.fill_count_e2, seen.remaining_count_e2)
    if not may_move(order.status, status):
        status = order.status
    count = order.count_e2  # of a canceled order: what it was asked for last, as far as we know
    if status is OrderStatus.EXECUTED or (status is OrderStatus.RESTING and seen.remaining_count_e2 > 0):
        count = max(seen.fill_count_e2 + seen.remaining_count_e2, order.fill_count_e2)
    newer = seen.fill_count_e2 >= order.fill_count_e2
    remaining = seen.remaining_count_e2 if newer else order.remaining_count_e2
    return replace(
        order,
        status=status,
        order_id=seen.order_id,
        count_e2=count,
        price_e6=seen.price_e6,
        terms_elsewhere=order.terms_elsewhere or (count, seen.price_e6) != (order.count_e2, order.price_e6),
        fill_count_e2=max(order.fill_count_e2, seen.fill_count_e2),
        remaining_count_e2=remaining if status is OrderStatus.RESTING else 0,
        fees_e6=seen.fees_e6 if newer else order.fees_e6,
        fact_ts_ms=max(order.fact_ts_ms, seen.updated_ts_ms or 0),
        created_ts_ms=order.created_ts_ms if order.created_ts_ms is not None else seen.created_ts_ms,
        late=late,
        # What ended it before it was found is no longer true; what is noted about a known order stays.
        reason=None if order.order_id is None else order.reason,
        detail=None if order.order_id is None else order.detail,
    )


def _filled(order: Order, event: e.Filled) -> Order:
    """The order with one more trade; the ledger applies each trade_id once."""
    traded = order.traded_count_e2 + event.count_e2
    remaining = order.remaining_count_e2
    return replace(
        order,
        remaining_count_e2=None if remaining is None else min(remaining, max(0, order.count_e2 - traded)),
        traded_count_e2=traded,
        traded_value_e8=order.traded_value_e8 + event.count_e2 * event.price_e6,
        traded_fees_e6=order.traded_fees_e6 + event.fee_e6,
        fill_count_e2=max(order.fill_count_e2, traded),
    )
