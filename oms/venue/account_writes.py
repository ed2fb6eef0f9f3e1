"""Writes that are about no order of ours: one call is one request, sent once.

As `oms.venue.orders`: nothing here raises for what the network or the exchange does, every ending is an event of that
attempt, and nothing is sent but what was recorded and claimed (P1).
"""

from urllib.parse import quote

import msgspec

from oms.errors import NotSent, OutcomeUnknown
from oms.lifecycle.actions import ActionRecorded, Done
from oms.lifecycle.events import AttemptUnknown, CancelAcknowledged, Event
from oms.lifecycle.states import ActionKind
from oms.venue.answers import Ending, read_cancel
from oms.venue.limiter import CANCEL
from oms.venue.orders import ORDERS_PATH
from oms.venue.transport import Answer, Channel, Request
from oms.venue.wire import Unreadable, clip, convert, identifier, integer, parse

__all__ = ["GROUPS_PATH", "AccountWrites", "endpoint_of"]

GROUPS_PATH = "/portfolio/order_groups"
_GROUP = f"{GROUPS_PATH}/:order_group_id"
_VERBS = {
    ActionKind.GROUP_TRIGGER: "trigger",
    ActionKind.GROUP_RESET: "reset",
    ActionKind.GROUP_LIMIT: "limit",
}


def endpoint_of(kind: ActionKind) -> tuple[str, str]:
    """What a request of that kind is called in the exchange's list of costs."""
    match kind:
        case ActionKind.CANCEL_ALL:
            return ("DELETE", ORDERS_PATH)
        case ActionKind.CANCEL_EXTERNAL:
            return CANCEL
        case ActionKind.GROUP_CREATE:
            return ("POST", f"{GROUPS_PATH}/create")
        case ActionKind.GROUP_DELETE:
            return ("DELETE", _GROUP)
        case _:
            return ("PUT", f"{_GROUP}/{_VERBS[kind]}")


class AccountWrites:
    """The write endpoints of the account as a whole and of order groups."""

    def send(self, channel: Channel, wanted: ActionRecorded, attempt: int, signed_ms: int) -> Event:
        """Send one claimed attempt, signed with the timestamp of its claim (exchange clock, ms); its ending."""
        request = _request(wanted)
        try:
            ending: Ending = channel.write(request, signed_ms)
        except (NotSent, OutcomeUnknown) as failure:
            ending = failure.with_traceback(None)  # its frames hold the signed headers
        event = _read(ending, wanted, attempt)
        if isinstance(event, AttemptUnknown) and event.why != "not_found":
            channel.close()
        return event


def _request(wanted: ActionRecorded) -> Request:
    query = () if wanted.subaccount is None else (("subaccount", str(wanted.subaccount)),)
    target = quote(wanted.target, safe="")
    match wanted.kind:
        case ActionKind.CANCEL_ALL:
            return Request("DELETE", ORDERS_PATH, query)
        case ActionKind.CANCEL_EXTERNAL:
            if wanted.ticker:  # without it the request goes to shard 0
                query = (("market_ticker", wanted.ticker), *query)
            return Request("DELETE", f"{ORDERS_PATH}/{target}", query)
        case ActionKind.GROUP_CREATE:
            return Request("POST", f"{GROUPS_PATH}/create", body=wanted.body.encode())
        case ActionKind.GROUP_DELETE:
            return Request("DELETE", f"{GROUPS_PATH}/{target}", query)
        case kind:
            return Request("PUT", f"{GROUPS_PATH}/{target}/{_VERBS[kind]}", query, wanted.body.encode())


def _read(ending: Ending, wanted: ActionRecorded, attempt: int) -> Event:
    if wanted.kind is ActionKind.CANCEL_EXTERNAL:
        event = read_cancel(ending, wanted.target, attempt)
        if isinstance(event, CancelAcknowledged):
            return Done(attempt=attempt, reduced_by_e2=event.reduced_by_e2)
        return event
    if not isinstance(ending, Answer) or not 200 <= ending.status < 300:
        return read_cancel(ending, wanted.target, attempt)  # every "no" and every doubt is the same for all writes
    if wanted.kind is ActionKind.GROUP_CREATE:
        return _read_created(ending, attempt)
    if ending.status in (200, 204):
        return Done(attempt=attempt)
    detail = clip(ending.body)
    return AttemptUnknown(attempt=attempt, why="unreadable", http_status=ending.status, detail=detail)


class _Created(msgspec.Struct, frozen=True):
    order_group_id: str | None = None
    subaccount: str | None = None
    exchange_index: str | None = None


def _read_created(answer: Answer, attempt: int) -> Event:
    try:
        body = convert(parse(answer.body), _Created)
        if answer.status not in (200, 201):
            raise Unreadable("a success that is not 201")
        return Done(
            attempt=attempt,
            order_group_id=identifier(body.order_group_id, "order_group_id"),
            subaccount=None if body.subaccount is None else integer(body.subaccount, "subaccount"),
            exchange_index=None if body.exchange_index is None else integer(body.exchange_index, "exchange_index"),
        )
    except Unreadable:
        detail = clip(answer.body)
        return AttemptUnknown(attempt=attempt, why="unreadable", http_status=answer.status, detail=detail)
