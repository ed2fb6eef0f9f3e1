"""The exchange: one request in, one response out, at an instant that the caller names.

Synchronous, without a clock, a socket or randomness of its own, so that tests and simulations drive it step by
step; HTTP is a shell over it. What a response reports was committed to the journal before it is returned.
"""

import hashlib
import heapq
from typing import Any, NamedTuple

import msgspec

from oms.sandbox import accidents, auth, endings, listing
from oms.sandbox.account import Account
from oms.sandbox.amounts import http_date
from oms.sandbox.auth import Key
from oms.sandbox.calls import Call
from oms.sandbox.desk import Desk
from oms.sandbox.faults import Fault, Faults, Subject
from oms.sandbox.journal import Journal
from oms.sandbox.knobs import Knobs
from oms.sandbox.limits import Meter
from oms.sandbox.refusals import Refusal, not_found, refuse, too_many_requests
from oms.sandbox.routes import Operation, find
from oms.sandbox.state import Moment, State
from oms.sandbox.wire import Request, Response, json_response

LARGEST_BODY = 8_000_000


class Arrival(NamedTuple):
    """A request still on its way: delayed by a fault, it reaches the exchange at `due_us`."""

    due_us: int
    number: int
    request: Request
    arrival_of: int


class Exchange:
    """One exchange over one journal. Not for several threads: the caller handles one request at a time."""

    def __init__(self, state: State, faults: Faults) -> None:
        self.state = state
        self.faults = faults
        self.desk = Desk(state)
        self.meter = Meter(state.knobs.tier)
        self._arrivals: list[Arrival] = []
        self._next_wire = state.journal.last("wire") + 1

    @classmethod
    def open(
        cls,
        journal: Journal,
        now_us: int,
        *,
        knobs: Knobs | None = None,
        faults: Faults | None = None,
        seed: str = "0",
        identity: str = "sandbox",
    ) -> "Exchange":
        """The exchange that a journal holds; an empty journal gets a new one.

        `seed` decides the markets' first quotes, `identity` the exchange's own ids; both matter only at first.
        """
        state = State(journal, knobs or Knobs())
        if state.is_founded:
            state.load()
        else:
            state.found(identity, seed, now_us)
        return cls(state, faults or Faults([]))

    def add_key(self, key: Key) -> None:
        """Let a key sign requests from now on, and after a restart."""
        self.state.open_account(key.user_id)
        self.state.add_key(key)
        self.state.journal.commit()

    def handle(self, request: Request, now_us: int) -> Response:
        """Answer one request that arrives now. Everything due by now happens first.

        On return all that it did is committed. Raises nothing that a client could cause.
        """
        self.advance(now_us)
        return self._receive(request, now_us, None)

    def advance(self, now_us: int) -> None:
        """Let happen what is due: delayed requests arrive, orders expire, each at its own instant."""
        while True:
            due_us = self.next_due_us()
            if due_us is None or due_us > now_us:
                break
            if self._arrivals and self._arrivals[0].due_us == due_us:
                arrival = heapq.heappop(self._arrivals)
                self._receive(arrival.request, arrival.due_us, arrival.arrival_of)
            else:
                self.desk.end_due(due_us)
                endings.close_due(self.desk, due_us)
                self.state.journal.commit()
        self.state.now_us = max(self.state.now_us, now_us)
        self.state.journal.commit()

    def next_due_us(self) -> int | None:
        """When `advance` has something to do next."""
        due = [self.desk.next_end_us(), self._arrivals[0].due_us if self._arrivals else None]
        return min((at_us for at_us in (*due, *self.state.closings.values()) if at_us is not None), default=None)

    # ---- one request

    def _receive(self, request: Request, now_us: int, arrival_of: int | None) -> Response:
        operation, path = find(request.method, request.path)
        digest = hashlib.sha256(request.body).hexdigest()
        ids, tickers = _named_in(request) if operation is not None else ((), ())
        name = "" if operation is None else operation.name
        fault = None
        if arrival_of is None and not self.faults.is_idle:
            fault = self.faults.draw(Subject(request.method, request.path, name, ids, tickers, digest))
        number, self._next_wire = self._next_wire, self._next_wire + 1
        self.state.now_us = max(self.state.now_us, now_us)
        is_processed = fault is None or fault.commits
        real = self._answer(request, operation, path, now_us, fault) if is_processed else Response(0)
        is_committed = self.state.journal.is_changed
        response = real if fault is None else self._suffer(fault, request, real, number, now_us)
        self.state.journal.add(
            "wire",
            (
                *(number, now_us, request.method, request.path, _query_text(request), name),
                *(request.headers.get("kalshi-access-key"), auth.signed_ms(request), ",".join(ids), digest),
                *(len(request.body), response.status or None, _fault_text(fault), int(is_committed), arrival_of),
            ),
        )
        self.state.journal.commit()
        return msgspec.structs.replace(response, headers=(*response.headers, ("date", http_date(now_us))))

    def _suffer(self, fault: Fault, request: Request, real: Response, number: int, now_us: int) -> Response:
        if fault.kind in ("late", "duplicate"):
            due_us = now_us + (fault.ms or 0) * 1000
            heapq.heappush(self._arrivals, Arrival(due_us, number, request, number))
        if fault.kind == "repeat_cursor" and real.status == 200:
            return accidents.repeat_cursor(request, real, listing.write_cursor(1_000_000_000))
        return accidents.replace_answer(fault, real)

    def _answer(
        self, request: Request, operation: Operation | None, path: dict[str, str], now_us: int, fault: Fault | None
    ) -> Response:
        hidden_us = (fault.ms or 0) * 1000 if fault is not None and fault.kind == "stale" else 0
        try:
            if operation is None:
                raise not_found()
            if len(request.body) > LARGEST_BODY:
                raise refuse(413, "request_too_large")
            key = self._admit(request, operation, now_us)
            call = self._call(operation, request, path, key, Moment(now_us, now_us + hidden_us))
            response = operation.handle(call)
        except Refusal as refusal:
            return json_response(refusal.status, refusal.document)
        if hidden_us and self.state.journal.is_changed:
            self.state.hidden.append(Moment(now_us, now_us + hidden_us))
        return response

    def _admit(self, request: Request, operation: Operation, now_us: int) -> Key | None:
        """Check signature, scope and tokens; None for a public read."""
        if operation.scope is None:
            return None
        key = auth.authenticate(request, self.state.keys, now_us, self.state.knobs.skew_ms)
        if not key.may(operation.scope):
            raise refuse(403, "insufficient_scope", details=f"{operation.scope} is required")
        cost = operation.cost * _items_in(request) if operation.is_batch else operation.cost
        if operation.bucket == "balance":
            cost = 1  # this bucket counts calls, not tokens
        if not self.meter.spend(key.user_id, operation.bucket, cost, now_us):
            raise too_many_requests()
        return key

    def _call(
        self, operation: Operation, request: Request, path: dict[str, str], key: Key | None, when: Moment
    ) -> Call:
        state = self.state
        user_id = state.user_id if key is None else key.user_id
        account: Account = state.accounts[user_id]
        as_of_us = state.now_us - state.knobs.read_lag_ms * 1000
        return Call(operation.name, request, path, account, key, state, self.desk, self.meter, when, as_of_us)


def _orders_in(request: Request) -> list[Any]:
    """The objects of a body that name orders: a batch's items, or the body itself; nothing where it is not JSON."""
    try:
        document = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    items = document.get("orders")
    return items if isinstance(items, list) else [document]


def _named_in(request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The client_order_ids in a body, and the tickers in it or in the query."""
    ids: list[str] = []
    tickers = [*request.every("ticker"), *request.every("market_ticker")]
    for item in _orders_in(request) if request.body else ():
        if isinstance(item, dict):
            if isinstance(item.get("client_order_id"), str):
                ids.append(item["client_order_id"])
            tickers += [item[name] for name in ("ticker", "market_ticker") if isinstance(item.get(name), str)]
    return tuple(ids), tuple(tickers)


def _items_in(request: Request) -> int:
    return max(1, len(_orders_in(request)))


def _query_text(request: Request) -> str:
    return "&".join(f"{name}={value}" for name, value in request.query)


def _fault_text(fault: Fault | None) -> str | None:
    return None if fault is None else msgspec.json.encode(fault).decode()
