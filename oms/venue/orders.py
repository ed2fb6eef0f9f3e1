"""Writes of orders: one call is one request, sent once.

Called from sender threads, each with its own channel. Nothing here raises for what the network or the exchange does:
every ending is an event of that attempt (`oms.venue.answers`). May not retry, reorder or rebuild a body: it is the
one that was recorded and claimed (P1, P2).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from oms.errors import NotSent, OutcomeUnknown
from oms.lifecycle.events import Acknowledged, AttemptUnknown, Event
from oms.lifecycle.states import Reason, SelfTradePrevention, TimeInForce
from oms.units import parse_count
from oms.venue.answers import (
    Ending,
    IdOf,
    read_amend,
    read_batch,
    read_cancel,
    read_cancel_batch,
    read_create,
    read_decrease,
)
from oms.venue.transport import Channel, Request

__all__ = ["CancelRequest", "OrderRequest", "Orders"]

ORDERS_PATH = "/portfolio/events/orders"
BATCHED_PATH = "/portfolio/events/orders/batched"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """One claimed attempt of one create."""

    body: str  # the stored JSON text, sent as it is
    client_order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """One claimed attempt of one cancel."""

    order_id: str
    ticker: str
    subaccount: int | None
    attempt: int


class Orders:
    """The write endpoints of orders."""

    def __init__(self, id_of: IdOf) -> None:
        """`id_of(order_id)` reads the client_order_id of an order, for a 201 that leaves it out."""
        self._id_of = id_of

    def create(self, channel: Channel, request: OrderRequest, signed_ms: int) -> Event:
        """POST one order, signed with the timestamp of its claim (exchange clock, ms); its ending as an event."""
        ending = _send(channel, Request("POST", ORDERS_PATH, body=request.body.encode()), signed_ms)
        event = read_create(ending, request.client_order_id, request.attempt, self._id_of)
        return _settled(channel, [_with_reason(request, event)])[0]

    def create_batch(self, channel: Channel, requests: Sequence[OrderRequest], signed_ms: int) -> list[Event]:
        """POST several orders in one request, each stored body byte for byte; one event each, in the same order."""
        assert requests
        body = '{"orders":[' + ",".join(request.body for request in requests) + "]}"
        ending = _send(channel, Request("POST", BATCHED_PATH, body=body.encode()), signed_ms)
        asked = [(request.client_order_id, request.attempt) for request in requests]
        events = read_batch(ending, asked, self._id_of)
        return _settled(channel, [_with_reason(*pair) for pair in zip(requests, events, strict=True)])

    def cancel(
        self,
        channel: Channel,
        order_id: str,
        ticker: str,
        subaccount: int | None,
        attempt: int,
        signed_ms: int,
    ) -> Event:
        """DELETE one order; its ending as an event. A 404 is AttemptUnknown(why="not_found"): read the order."""
        # Without market_ticker the request goes to shard 0, and an order on another shard would look lost.
        query = (("market_ticker", ticker), *_of_subaccount(subaccount))
        ending = _send(channel, Request("DELETE", _path(order_id), query), signed_ms)
        return _settled(channel, [read_cancel(ending, order_id, attempt)])[0]

    def cancel_batch(self, channel: Channel, requests: Sequence[CancelRequest], signed_ms: int) -> list[Event]:
        """DELETE several orders in one request; one event each, in the same order."""
        assert requests
        body = json.dumps({"orders": [_cancel_item(each) for each in requests]}, separators=(",", ":"))
        ending = _send(channel, Request("DELETE", BATCHED_PATH, body=body.encode()), signed_ms)
        asked = [(request.order_id, request.attempt) for request in requests]
        return _settled(channel, read_cancel_batch(ending, asked))

    def amend(
        self, channel: Channel, order_id: str, body: str, subaccount: int | None, attempt: int, signed_ms: int
    ) -> Event:
        """POST one amend, its stored body byte for byte; its ending as an event. 404: as for a cancel."""
        return self._change(channel, order_id, "amend", body, subaccount, attempt, signed_ms)

    def decrease(
        self, channel: Channel, order_id: str, body: str, subaccount: int | None, attempt: int, signed_ms: int
    ) -> Event:
        """POST one decrease, its stored body byte for byte; its ending as an event. 404: as for a cancel."""
        return self._change(channel, order_id, "decrease", body, subaccount, attempt, signed_ms)

    @staticmethod
    def _change(
        channel: Channel, order_id: str, verb: str, body: str, subaccount: int | None, attempt: int, signed_ms: int
    ) -> Event:
        request = Request("POST", f"{_path(order_id)}/{verb}", _of_subaccount(subaccount), body.encode())
        ending = _send(channel, request, signed_ms)
        read = read_amend if verb == "amend" else read_decrease
        return _settled(channel, [read(ending, order_id, attempt)])[0]


def _path(order_id: str) -> str:
    return f"{ORDERS_PATH}/{quote(order_id, safe='')}"


def _of_subaccount(subaccount: int | None) -> tuple[tuple[str, str], ...]:
    return () if subaccount is None else (("subaccount", str(subaccount)),)


def _cancel_item(request: CancelRequest) -> dict[str, object]:
    item: dict[str, object] = {"order_id": request.order_id, "market_ticker": request.ticker}
    return item if request.subaccount is None else {**item, "subaccount": request.subaccount}


def _send(channel: Channel, request: Request, signed_ms: int) -> Ending:
    try:
        return channel.write(request, signed_ms)
    except (NotSent, OutcomeUnknown) as ending:
        return ending.with_traceback(None)  # its frames hold the signed headers


def _with_reason(request: OrderRequest, event: Event) -> Event:
    """The yes to an order that should have rested and does not, with the one cause that cancels such an order at once.

    One that meets another of the account's own stops there, where it asked for taker_at_cross.
    """
    if not isinstance(event, Acknowledged) or event.remaining_count_e2:
        return event
    asked = json.loads(request.body)
    rests = asked.get("time_in_force") == TimeInForce.GOOD_TILL_CANCELED and not asked.get("post_only")
    stops = asked.get("self_trade_prevention_type") == SelfTradePrevention.TAKER_AT_CROSS
    if not rests or not stops or parse_count(asked["count"]) <= event.fill_count_e2:
        return event
    return msgspec.structs.replace(event, reason=Reason.SELF_TRADE)


def _settled(channel: Channel, events: list[Event]) -> list[Event]:
    """The events; a connection that brought something not understood is not used again."""
    if any(isinstance(event, AttemptUnknown) and event.why != "not_found" for event in events):
        channel.close()
    return events
