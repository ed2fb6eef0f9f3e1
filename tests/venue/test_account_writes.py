"""Writes of the account and of groups: one request each, every ending an event, and ids out of any listing."""

import json
from collections.abc import Callable

import pytest

from oms.errors import NotSent, OutcomeUnknown, ReadFailed
from oms.lifecycle import events as e
from oms.lifecycle.actions import ActionRecorded, Done
from oms.lifecycle.states import ActionKind
from oms.venue import resting
from oms.venue.account_writes import AccountWrites, endpoint_of
from oms.venue.transport import Answer, ClaimTooOld, Objected, Request

K = ActionKind


class Wire:
    """A channel that answers what it is told to."""

    def __init__(self, ending: Answer | Exception) -> None:
        self.ending = ending
        self.sent: list[Request] = []
        self.closed = False

    def write(self, request: Request, signed_ms: int) -> Answer:
        self.sent.append(request)
        if isinstance(self.ending, Exception):
            raise self.ending
        return self.ending

    def close(self) -> None:
        self.closed = True


def wanted(kind: K, target: str = "g-1", body: str = "", subaccount: int | None = None) -> ActionRecorded:
    return ActionRecorded(kind=kind, target=target, body=body, subaccount=subaccount, ticker="T-1")


def sent(kind: K, ending: Answer | Exception, **more: object) -> tuple[e.Event, Wire]:
    wire = Wire(ending)
    event = AccountWrites().send(wire, wanted(kind, **more), 1, 5)  # type: ignore[arg-type]
    assert len(wire.sent) == 1
    return event, wire


@pytest.mark.parametrize(
    ("kind", "method", "path", "query"),
    [
        (K.CANCEL_ALL, "DELETE", "/portfolio/events/orders", ()),
        (K.CANCEL_EXTERNAL, "DELETE", "/portfolio/events/orders/g-1", (("market_ticker", "T-1"),)),
        (K.GROUP_CREATE, "POST", "/portfolio/order_groups/create", ()),
        (K.GROUP_TRIGGER, "PUT", "/portfolio/order_groups/g-1/trigger", ()),
        (K.GROUP_RESET, "PUT", "/portfolio/order_groups/g-1/reset", ()),
        (K.GROUP_LIMIT, "PUT", "/portfolio/order_groups/g-1/limit", ()),
        (K.GROUP_DELETE, "DELETE", "/portfolio/order_groups/g-1", ()),
    ],
)
def test_each_kind_is_one_request(kind: K, method: str, path: str, query: tuple[tuple[str, str], ...]) -> None:
    _, wire = sent(kind, Answer(200, b"{}"), body="{}")
    (request,) = wire.sent
    assert (request.method, request.path, request.query) == (method, path, query)
    assert request.body == (b"{}" if method in ("PUT", "POST") else None)
    assert endpoint_of(kind)[0] == method


@pytest.mark.parametrize("kind", [kind for kind in K if kind not in (K.CANCEL_ALL, K.GROUP_CREATE)])
def test_a_subaccount_goes_into_the_query(kind: K) -> None:
    _, wire = sent(kind, Answer(200, b"{}"), subaccount=3)
    assert ("subaccount", "3") in wire.sent[0].query


@pytest.mark.parametrize("kind", K)
@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (NotSent("x"), "not_sent"),
        (ClaimTooOld("x"), "claim_too_old"),
        (Objected("x"), "not_sent"),
        (Answer(429, b"{}"), "rate_limited"),
        (Answer(401, b"{}"), "unauthorized"),
        (OutcomeUnknown("x"), "no_answer"),
        (Answer(500, b"<html>"), "http_5xx"),
        (Answer(404, b'{"error":{"code":"not_found","message":"x"}}'), "not_found"),
        (Answer(400, b"oops"), "no_code"),
        (Answer(299, b"{}"), "unreadable"),
    ],
)
def test_every_ending_that_is_no_plain_yes_or_no_is_what_it_is_for_a_cancel(
    kind: K, ending: Answer | Exception, expected: str
) -> None:
    event, wire = sent(kind, ending)
    assert isinstance(event, e.NotProcessed | e.AttemptUnknown)
    assert event.why == expected
    assert wire.closed == (isinstance(event, e.AttemptUnknown) and expected != "not_found")


@pytest.mark.parametrize("kind", K)
def test_a_no_has_a_code(kind: K) -> None:
    event, _ = sent(kind, Answer(403, b'{"error":{"code":"forbidden","message":"members only"}}'))
    assert event == e.AttemptRefused(attempt=1, http_status=403, code="forbidden", message="members only")


@pytest.mark.parametrize(
    ("kind", "answer", "done"),
    [
        (K.CANCEL_ALL, Answer(204, b""), Done(attempt=1)),
        (K.GROUP_TRIGGER, Answer(200, b"{}"), Done(attempt=1)),
        (
            K.GROUP_CREATE,
            Answer(201, b'{"order_group_id":"g-9","subaccount":2,"exchange_index":0}'),
            Done(attempt=1, order_group_id="g-9", subaccount=2, exchange_index=0),
        ),
        (
            K.CANCEL_EXTERNAL,
            Answer(200, b'{"order_id":"g-1","reduced_by":"2.00","ts_ms":7}'),
            Done(attempt=1, reduced_by_e2=200),
        ),
    ],
)
def test_a_yes_is_understood(kind: K, answer: Answer, done: Done) -> None:
    assert sent(kind, answer)[0] == done


@pytest.mark.parametrize("body", [b"", b"{}", b'{"order_group_id":7}', b'{"order_group_id":"../x"}', b"[]"])
def test_a_group_without_an_id_is_not_a_group(body: bytes) -> None:
    event, _ = sent(K.GROUP_CREATE, Answer(201, body))
    assert isinstance(event, e.AttemptUnknown)


def test_the_cancel_of_another_order_is_no_yes() -> None:
    event, _ = sent(K.CANCEL_EXTERNAL, Answer(200, b'{"order_id":"g-2","reduced_by":"2.00"}'))
    assert isinstance(event, e.AttemptUnknown)


# -- what rests, raw ------------------------------------------------------------------------------------------------


class Pages:
    """A reader that gives these bodies, one for each page."""

    def __init__(self, *bodies: bytes | Exception) -> None:
        self.bodies = list(bodies)
        self.asked: list[object] = []

    def body(self, path: str, query: object) -> bytes:
        self.asked.append(query)
        body = self.bodies.pop(0)
        if isinstance(body, Exception):
            raise body
        return body


def ids(*bodies: bytes | Exception) -> list[str]:
    return [order.order_id for order in resting.resting_orders(Pages(*bodies))]  # type: ignore[arg-type]


def page(*names: str, cursor: str = "", **more: object) -> bytes:
    orders = [{"order_id": name, "status": "resting", **more} for name in names]
    return json.dumps({"orders": orders, "cursor": cursor}).encode()


def test_every_page_is_read_and_each_order_given_once() -> None:
    assert ids(page("a", "b", cursor="1"), page("b", "c")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-9],
        lambda body: body.replace(b'"resting"', b"NaN"),
        lambda body: body.replace(b"}", b',"order_id":"b"}', 1),
        lambda body: b"<html>" + body,
        lambda body: b"\xff" + body,
    ],
    ids=["cut", "nan", "twice", "html", "bytes"],
)
def test_ids_come_out_of_a_body_that_is_no_json_any_more(spoil: Callable[[bytes], bytes]) -> None:
    assert set(ids(spoil(page("a", "b")))) == {"a", "b"}


@pytest.mark.parametrize(
    "more", [{"ticker": 7}, {"subaccount_number": "x"}, {"price": {}}, {"remaining_count_fp": None}]
)
def test_a_field_that_cannot_be_read_hides_no_order(more: dict[str, object]) -> None:
    assert ids(page("a", **more)) == ["a"]


def test_an_id_that_cannot_stand_in_a_path_is_left_out() -> None:
    assert ids(page("../x", "a")) == ["a"]


def test_an_order_that_does_not_rest_is_left_out() -> None:
    assert ids(b'{"orders":[{"order_id":"a","status":"executed"},{"order_id":"b"}]}') == ["b"]


def test_ticker_and_subaccount_are_kept_where_they_can_be_read() -> None:
    (order,) = resting.resting_orders(Pages(page("a", ticker="T-1", subaccount_number=2)))  # type: ignore[arg-type]
    assert (order.ticker, order.subaccount) == ("T-1", 2)


def test_pages_that_were_read_count_where_the_next_one_fails() -> None:
    assert ids(page("a", cursor="1"), ReadFailed("x")) == ["a"]
    with pytest.raises(ReadFailed):
        ids(ReadFailed("x"))


def test_a_list_that_goes_round_ends() -> None:
    assert ids(page("a", cursor="1"), page("b", cursor="1")) == ["a", "b"]
