"""The table of answers, row by row, and the proof that it has no hole (P4)."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

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
    decode,
    encode,
    kind_of,
)
from oms.venue.answers import (
    Ending,
    read_amend,
    read_batch,
    read_cancel,
    read_cancel_batch,
    read_create,
    read_decrease,
)
from oms.venue.transport import Answer, ClaimTooOld

OURS = "oms-id-1"
ORDER = "2597a1b2-0000-4000-8000-00000000abcd"


def body(**fields: Any) -> bytes:
    made = {"order_id": ORDER, "client_order_id": OURS, "fill_count": "0.00", "remaining_count": "1.00", "ts_ms": 77}
    return json.dumps({name: value for name, value in (made | fields).items() if value != "absent"}).encode()


def error(code: str | None, message: str = "said so") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def outcome(event: Event) -> str:
    """A word per event for the tables: its kind, and why where that matters."""
    return f"{kind_of(event)} {why}" if (why := getattr(event, "why", "")) else kind_of(event)


# -- create -----------------------------------------------------------------------------------------------------

HTML = b"<html><body>502 Bad Gateway</body></html>"
FLAT = b'{"code":"bad_request","message":"bad request","details":"json: cannot unmarshal number"}'
STATUS = b'{"exchange_active":false,"trading_active":false}'

ROWS: list[tuple[int, bytes, str]] = [
    # a yes needs our exact id, an order_id and readable counts
    (201, body(), "acknowledged"),
    (201, body(some_new_field={"a": [1]}), "acknowledged"),
    (201, body(fill_count=1, remaining_count=0.5, ts_ms="77"), "acknowledged"),
    (201, body(ts_ms="absent"), "acknowledged"),
    (200, body(), "acknowledged"),
    (201, b"", "attempt_unknown unreadable"),
    (201, b"{}", "attempt_unknown unreadable"),
    (201, b"null", "attempt_unknown unreadable"),
    (201, b"[]", "attempt_unknown unreadable"),
    (201, body()[:-9], "attempt_unknown unreadable"),
    (201, b'{"message":"ok"}', "attempt_unknown unreadable"),
    (201, HTML, "attempt_unknown unreadable"),
    (201, body(client_order_id="other"), "attempt_unknown other_id"),
    (201, body(client_order_id=OURS.upper()), "attempt_unknown other_id"),
    (201, body(client_order_id=7), "attempt_unknown other_id"),
    (201, body(client_order_id=[OURS]), "attempt_unknown unreadable"),
    (201, body(client_order_id="absent"), "attempt_unknown unreadable"),  # and could not be looked up
    (201, body(order_id="absent"), "attempt_unknown unreadable"),
    (201, body(order_id=None), "attempt_unknown unreadable"),
    (201, body(order_id=""), "attempt_unknown unreadable"),
    (201, body(order_id="../../etc"), "attempt_unknown unreadable"),
    (201, body(order_id="\ud800"), "attempt_unknown unreadable"),
    (201, body(order_id="x" * 129), "attempt_unknown unreadable"),
    (201, body(fill_count="absent"), "attempt_unknown unreadable"),
    (201, body(fill_count="-1.00"), "attempt_unknown unreadable"),
    (201, body(fill_count="1.005"), "attempt_unknown unreadable"),
    (201, body(remaining_count="\uff11"), "attempt_unknown unreadable"),
    (201, body(remaining_count="1_0"), "attempt_unknown unreadable"),
    (201, body(remaining_count=True), "attempt_unknown unreadable"),
    (201, body().replace(b"77", b"NaN"), "attempt_unknown unreadable"),
    (201, body().replace(b"77", b"1e400"), "attempt_unknown unreadable"),
    (201, body().replace(b"77", b"9" * 400), "attempt_unknown unreadable"),
    (201, b"\xef\xbb\xbf" + body(), "attempt_unknown unreadable"),
    (201, body().decode().encode("utf-16"), "attempt_unknown unreadable"),
    (201, body()[:-1] + b',"order_id":"another"}', "attempt_unknown unreadable"),
    (201, body(order_id=5), "attempt_unknown unreadable"),
    (201, b'"\\udc00"', "attempt_unknown unreadable"),
    (201, b"[" * 100_000, "attempt_unknown unreadable"),
    (201, b'{"a":' * 100_000, "attempt_unknown unreadable"),
    (201, body()[:-1] + b',"deep":' + b"[" * 3000 + b"]" * 3000 + b"}", "attempt_unknown unreadable"),
    (202, body(), "attempt_unknown unreadable"),
    (204, b"", "attempt_unknown unreadable"),
    (206, body(), "attempt_unknown unreadable"),
    # a no needs the exchange's own code
    (400, error("invalid_price"), "attempt_refused"),
    (400, error("a_code_of_tomorrow"), "attempt_refused"),
    (400, FLAT, "attempt_refused"),
    (403, error("missing_scope"), "attempt_refused"),
    (404, error("market_not_found"), "attempt_refused"),
    (409, error("fill_or_kill_insufficient_resting_volume"), "attempt_refused"),
    (410, error("deprecated_v1_order_endpoint"), "attempt_refused"),
    (400, HTML, "attempt_unknown no_code"),
    (400, b"", "attempt_unknown no_code"),
    (400, b'{"msg":"Parameter validation failed"}', "attempt_unknown no_code"),
    (400, b'{"error":"something"}', "attempt_unknown no_code"),
    (400, error(None), "attempt_unknown no_code"),
    (400, error(""), "attempt_unknown no_code"),
    (400, error(" "), "attempt_unknown no_code"),
    (400, b'{"error":{"code":400,"message":"Bad Request"}}', "attempt_unknown no_code"),
    (403, b'{"code":"403","message":"Forbidden"}', "attempt_unknown no_code"),
    (404, error("\x1b[31m"), "attempt_unknown no_code"),
    (404, error("x" * 101), "attempt_unknown no_code"),
    (403, HTML, "attempt_unknown no_code"),
    (404, HTML, "attempt_unknown no_code"),
    (409, b"", "attempt_unknown no_code"),
    (410, HTML, "attempt_unknown no_code"),
    (400, error("EXCHANGE_UNAVAILABLE"), "attempt_unknown unknown_code"),
    (409, error("client_order_id_already_exists"), "attempt_unknown unknown_code"),
    (409, error("duplicate_order"), "attempt_unknown unknown_code"),
    # neither
    (409, error("order_already_exists"), "id_taken"),
    (
        409,
        b'{"error":{"code":"order_already_exists","message":"order already exists","service":"exchange"}}',
        "id_taken",
    ),
    (409, error("trading_is_paused"), "not_processed paused"),
    (409, error("exchange_is_paused"), "not_processed paused"),
    (401, error("header_timestamp_expired"), "not_processed unauthorized"),
    (401, HTML, "not_processed unauthorized"),
    (429, b'{"error":"too many requests"}', "not_processed rate_limited"),
    (429, b"", "not_processed rate_limited"),
    # everything else is doubt, whatever it says
    (100, b"", "attempt_unknown http_100"),
    (301, b"", "attempt_unknown http_301"),
    (307, error("invalid_price"), "attempt_unknown http_307"),
    (402, error("x"), "attempt_unknown http_402"),
    (407, HTML, "attempt_unknown http_407"),
    (408, error("timeout"), "attempt_unknown http_408"),
    (413, HTML, "attempt_unknown http_413"),
    (422, error("invalid_price"), "attempt_unknown http_422"),
    (500, error("invalid_price"), "attempt_unknown http_5xx"),
    (502, HTML, "attempt_unknown http_5xx"),
    (503, STATUS, "attempt_unknown http_5xx"),
    (504, b"", "attempt_unknown http_5xx"),
    (599, b"", "attempt_unknown http_5xx"),
]


@pytest.mark.parametrize(("status", "raw", "expected"), ROWS)
def test_each_answer_to_a_create_has_its_meaning(status: int, raw: bytes, expected: str) -> None:
    assert outcome(read_create(Answer(status, raw), OURS, 3)) == expected


def test_a_yes_carries_exact_counts_and_averages() -> None:
    raw = body(fill_count="0.35", remaining_count="1.65", average_fill_price="0.5200", average_fee_paid="0.017500")
    assert read_create(Answer(201, raw), OURS, 3) == Acknowledged(
        attempt=3,
        order_id=ORDER,
        fill_count_e2=35,
        remaining_count_e2=165,
        ts_ms=77,
        average_fill_price_e6=520_000,
        average_fee_paid_e6=17_500,
    )


def test_an_average_with_too_many_digits_is_left_out_and_the_yes_stands() -> None:
    event = read_create(Answer(201, body(average_fill_price="0.33333333333")), OURS, 1)
    assert isinstance(event, Acknowledged)
    assert event.average_fill_price_e6 is None


def test_both_counts_zero_is_a_yes() -> None:
    event = read_create(Answer(201, body(remaining_count="0.00")), OURS, 1)
    assert isinstance(event, Acknowledged)
    assert (event.fill_count_e2, event.remaining_count_e2) == (0, 0)


def test_a_201_without_our_id_is_a_yes_only_when_the_order_has_it() -> None:
    nameless = Answer(201, body(client_order_id="absent"))
    empty = Answer(201, body(client_order_id=""))

    def unread(order_id: str) -> str:
        raise ReadFailed("no answer")

    for answer in (nameless, empty):
        assert outcome(read_create(answer, OURS, 1, lambda order_id: OURS)) == "acknowledged"
        assert outcome(read_create(answer, OURS, 1, lambda order_id: "other")) == "attempt_unknown other_id"
        assert outcome(read_create(answer, OURS, 1, lambda order_id: "")) == "attempt_unknown other_id"
        assert outcome(read_create(answer, OURS, 1, unread)) == "attempt_unknown unreadable"


def test_a_refusal_keeps_status_code_and_message() -> None:
    raw = b'{"error":{"code":"invalid_order","message":"invalid order","details":"post only cross"}}'
    assert read_create(Answer(400, raw), OURS, 2) == AttemptRefused(
        attempt=2, http_status=400, code="invalid_order", message="invalid order: post only cross"
    )


def test_what_the_transport_knows_becomes_an_event() -> None:
    assert outcome(read_create(NotSent("refused"), OURS, 1)) == "not_processed not_sent"
    assert outcome(read_create(ClaimTooOld("old"), OURS, 1)) == "not_processed claim_too_old"
    assert outcome(read_create(OutcomeUnknown("reset"), OURS, 1)) == "attempt_unknown no_answer"


def test_doubt_keeps_the_raw_body_clipped_escaped_and_scrubbed() -> None:
    signature = "Ab+/" * 86
    raw = b"\x1b[31mred\r\nnew line\x00\xff\xe2\x80\xae" + signature.encode() + b"==tail " + b"z " * 5000
    event = read_create(Answer(502, raw), OURS, 1)
    assert isinstance(event, AttemptUnknown)
    assert event.http_status == 502
    assert len(event.detail.encode()) <= 2048
    assert event.detail.startswith("\\x1b[31mred\\r\\nnew line\\x00\\xff\\u202e[scrubbed]tail z")
    assert event.detail.isprintable()


# -- batched create ---------------------------------------------------------------------------------------------


def item(number: int, **fields: Any) -> dict[str, Any]:
    made = {
        "order_id": f"order-{number}",
        "client_order_id": f"id-{number}",
        "fill_count": "0.00",
        "remaining_count": "1.00",
        "ts_ms": 5,
        "error": None,
    }
    return {name: value for name, value in (made | fields).items() if value != "absent"}


def failed(number: int, code: str, **fields: Any) -> dict[str, Any]:
    nothing = {"order_id": None, "fill_count": None, "remaining_count": None, "ts_ms": None}
    return item(number, **nothing, error={"code": code, "message": code, "details": ""}, **fields)


ASKED = [("id-1", 1), ("id-2", 4), ("id-3", 2)]


def batch(items: list[Any], status: int = 201, **more: Any) -> list[str]:
    events = read_batch(Answer(status, json.dumps({"orders": items}).encode()), ASKED, **more)
    assert [getattr(event, "attempt", None) for event in events] == [1, 4, 2]
    return [outcome(event) for event in events]


def test_items_are_matched_by_id_in_any_order() -> None:
    events = read_batch(Answer(201, json.dumps({"orders": [item(3), item(1), item(2)]}).encode()), ASKED)
    assert [event.order_id for event in events if isinstance(event, Acknowledged)] == ["order-1", "order-2", "order-3"]


def test_each_item_stands_alone() -> None:
    items = [item(1), failed(2, "insufficient_balance"), failed(3, "order_already_exists")]
    assert batch(items) == ["acknowledged", "attempt_refused", "id_taken"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("invalid_price", "attempt_refused"),
        ("MARKET_INACTIVE", "attempt_refused"),
        ("order_already_exists", "id_taken"),
        ("trading_is_paused", "not_processed paused"),
        ("exchange_is_paused", "not_processed paused"),
        ("INTERNAL_ERROR", "attempt_unknown unknown_code"),
        ("a_code_of_tomorrow", "attempt_unknown unknown_code"),
        ("timeout", "attempt_unknown unknown_code"),
    ],
)
def test_only_codes_of_the_closed_list_refuse_an_item(code: str, expected: str) -> None:
    assert batch([item(1), failed(2, code), item(3)]) == ["acknowledged", expected, "acknowledged"]


def test_items_that_say_nothing_or_two_things_are_doubt() -> None:
    assert batch([item(1), item(2, order_id=None), item(3, error="broken")])[1:] == [
        "attempt_unknown unreadable",
        "attempt_unknown unreadable",
    ]
    assert batch([item(1, error={}), item(2, error={"code": None}), item(3, fill_count=None)]) == [
        "attempt_unknown unreadable",
        "attempt_unknown unreadable",
        "attempt_unknown unreadable",
    ]
    assert batch([item(1), failed(2, "invalid_price") | {"order_id": "order-9"}, None])[1:] == [
        "attempt_unknown unreadable",
        "attempt_unknown unknown_code",
    ]


def test_a_nameless_refusal_counts_by_position_when_all_others_stand_at_their_places() -> None:
    nameless = failed(2, "invalid_price", client_order_id="absent")
    assert batch([item(1), nameless, item(3)]) == ["acknowledged", "attempt_refused", "acknowledged"]
    assert batch([item(3), nameless, item(1)]) == [
        "acknowledged",
        "attempt_unknown missing_item",
        "acknowledged",
    ]
    assert batch([item(1), nameless])[1:] == ["attempt_unknown missing_item", "attempt_unknown missing_item"]
    assert batch([item(1), nameless, item(3), item(4)])[1] == "attempt_unknown missing_item"


def test_a_nameless_order_is_looked_up() -> None:
    nameless = [item(number, client_order_id="absent") for number in (1, 2, 3)]
    names = {"order-1": "id-1", "order-2": "id-2", "order-3": "id-3"}
    assert batch(nameless, id_of=lambda order_id: names[order_id]) == ["acknowledged"] * 3
    swapped = names | {"order-1": "id-2", "order-2": "id-1"}
    events = read_batch(Answer(201, json.dumps({"orders": nameless}).encode()), ASKED, lambda each: swapped[each])
    assert [event.order_id for event in events if isinstance(event, Acknowledged)] == ["order-2", "order-1", "order-3"]
    assert batch(nameless) == ["attempt_unknown missing_item"] * 3


def test_looking_up_stops_at_the_first_read_that_fails() -> None:
    asked: list[str] = []

    def unread(order_id: str) -> str:
        asked.append(order_id)
        raise ReadFailed("no answer")

    nameless = [item(number, client_order_id="absent") for number in (1, 2, 3)]
    assert batch(nameless, id_of=unread) == ["attempt_unknown missing_item"] * 3
    assert asked == ["order-1"]


def test_an_id_given_twice_or_never_asked_for_proves_nothing() -> None:
    assert batch([item(1), item(1), item(3)]) == [
        "attempt_unknown missing_item",
        "attempt_unknown missing_item",
        "acknowledged",
    ]
    assert batch([item(1), item(9), item(3)]) == ["acknowledged", "attempt_unknown missing_item", "acknowledged"]


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"orders":null}', b'{"orders":{}}', b"[]", HTML])
def test_a_batch_without_its_list_is_doubt_for_all(raw: bytes) -> None:
    assert [outcome(event) for event in read_batch(Answer(201, raw), ASKED)] == ["attempt_unknown unreadable"] * 3


@pytest.mark.parametrize(
    ("status", "raw", "many", "one"),
    [
        (400, error("invalid_price"), "not_processed batch_refused", "attempt_refused"),
        (403, error("missing_scope"), "not_processed batch_refused", "attempt_refused"),
        (404, error("market_not_found"), "not_processed batch_refused", "attempt_refused"),
        (410, error("gone"), "not_processed batch_refused", "attempt_refused"),
        (409, error("order_already_exists"), "attempt_unknown id_taken_in_batch", "id_taken"),
        (409, error("trading_is_paused"), "not_processed paused", "not_processed paused"),
        (401, b"", "not_processed unauthorized", "not_processed unauthorized"),
        (429, b"", "not_processed rate_limited", "not_processed rate_limited"),
        (400, HTML, "attempt_unknown no_code", "attempt_unknown no_code"),
        (413, HTML, "attempt_unknown http_413", "attempt_unknown http_413"),
        (408, b"", "attempt_unknown http_408", "attempt_unknown http_408"),
        (500, b"", "attempt_unknown http_5xx", "attempt_unknown http_5xx"),
    ],
)
def test_an_answer_to_the_whole_request(status: int, raw: bytes, many: str, one: str) -> None:
    assert [outcome(event) for event in read_batch(Answer(status, raw), ASKED)] == [many] * 3
    assert [outcome(event) for event in read_batch(Answer(status, raw), ASKED[:1])] == [one]


def test_a_batch_that_was_not_answered() -> None:
    assert [outcome(event) for event in read_batch(NotSent("x"), ASKED)] == ["not_processed not_sent"] * 3
    assert [outcome(event) for event in read_batch(OutcomeUnknown("x"), ASKED)] == ["attempt_unknown no_answer"] * 3


# -- cancel -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "raw", "expected"),
    [
        (200, {"order_id": ORDER, "reduced_by": "0.50", "ts_ms": 9}, "cancel_acknowledged"),
        (200, {"order_id": ORDER, "reduced_by": "0.50"}, "cancel_acknowledged"),
        (200, {"order_id": "other", "reduced_by": "0.50", "ts_ms": 9}, "attempt_unknown other_id"),
        (200, {"order_id": ORDER, "ts_ms": 9}, "attempt_unknown unreadable"),
        (200, {}, "attempt_unknown unreadable"),
        (201, {"order_id": ORDER, "reduced_by": "0.50"}, "attempt_unknown unreadable"),
        (204, {}, "attempt_unknown unreadable"),
        (404, {"error": {"code": "not_found", "message": "not found"}}, "attempt_unknown not_found"),
        (404, "text", "attempt_unknown not_found"),
        (400, {"error": {"code": "invalid_parameters"}}, "attempt_refused"),
        (400, {"msg": "Parameter validation failed"}, "attempt_unknown no_code"),
        (403, {"error": {"code": "missing_scope"}}, "attempt_refused"),
        (409, {"error": {"code": "exchange_is_paused"}}, "not_processed paused"),
        (409, {"error": {"code": "order_already_exists"}}, "attempt_unknown unknown_code"),
        (401, {}, "not_processed unauthorized"),
        (429, {"error": "too many requests"}, "not_processed rate_limited"),
        (408, {}, "attempt_unknown http_408"),
        (503, {}, "attempt_unknown http_5xx"),
    ],
)
def test_each_answer_to_a_cancel_has_its_meaning(status: int, raw: object, expected: str) -> None:
    assert outcome(read_cancel(Answer(status, json.dumps(raw).encode()), ORDER, 1)) == expected


def test_a_canceled_order_shows_how_much_was_taken_away() -> None:
    raw = json.dumps({"order_id": ORDER, "reduced_by": "0.50", "ts_ms": 9}).encode()
    assert read_cancel(Answer(200, raw), ORDER, 2) == CancelAcknowledged(
        attempt=2, order_id=ORDER, reduced_by_e2=50, ts_ms=9
    )


# -- no hole ----------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from([OURS, ORDER, "id-1", "1.00", "0", "-1", "order_already_exists", "trading_is_paused", "not_found"]),
)
NAMES = (
    "orders",
    "error",
    "code",
    "message",
    "details",
    "msg",
    "order_id",
    "client_order_id",
    "fill_count",
    "remaining_count",
    "reduced_by",
    "ts_ms",
    "x",
)
KEYS = st.sampled_from(NAMES)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=7)),
    max_leaves=24,
)
bodies = st.one_of(st.binary(max_size=200), values.map(lambda value: json.dumps(value).encode()))
statuses = st.one_of(
    st.sampled_from([200, 201, 204, 207, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 503]), st.integers(100, 999)
)
endings = st.one_of(
    st.builds(Answer, statuses, bodies),
    st.builds(NotSent, st.text(max_size=30)),
    st.builds(ClaimTooOld, st.text(max_size=30)),
    st.builds(OutcomeUnknown, st.text(max_size=30)),
)
MEANINGS = (
    Acknowledged,
    CancelAcknowledged,
    DecreaseAcknowledged,
    AmendAcknowledged,
    DecreaseAcknowledged,
    AttemptRefused,
    AttemptUnknown,
    NotProcessed,
    IdTaken,
)


def is_whole(event: Event, attempt: int) -> bool:
    """One of the meanings, about this attempt, and fit for the ledger."""
    assert isinstance(event, MEANINGS)
    return event.attempt == attempt and decode(kind_of(event), encode(event)) == event


@given(endings)
@example(Answer(400, b'{"error":{"code":1e5}}'))  # a number with a letter in it is no word either
def test_every_ending_of_a_create_is_mapped(ending: Ending) -> None:
    event = read_create(ending, OURS, 5, lambda order_id: "")
    assert is_whole(event, 5)
    if isinstance(event, Acknowledged):
        assert isinstance(ending, Answer)
        assert ending.status in (200, 201)
    if isinstance(event, AttemptRefused):
        assert isinstance(ending, Answer)
        assert ending.status in (400, 403, 404, 409, 410)
        assert event.code


@given(endings)
def test_every_ending_of_a_batch_is_mapped(ending: Ending) -> None:
    events = read_batch(ending, ASKED, lambda order_id: "id-2")
    assert len(events) == 3
    assert all(is_whole(event, attempt) for event, (_, attempt) in zip(events, ASKED, strict=True))


@given(endings)
def test_every_ending_of_a_cancel_is_mapped(ending: Ending) -> None:
    event = read_cancel(ending, ORDER, 5)
    assert is_whole(event, 5)
    assert not isinstance(event, Acknowledged | IdTaken)


@given(endings)
def test_every_ending_of_an_amend_and_of_a_decrease_is_mapped(ending: Ending) -> None:
    for event, yes in (
        (read_amend(ending, ORDER, 5), AmendAcknowledged),
        (read_decrease(ending, ORDER, 5), DecreaseAcknowledged),
    ):
        assert is_whole(event, 5)
        assert isinstance(event, yes | AttemptRefused | AttemptUnknown | NotProcessed)


@given(endings)
def test_every_ending_of_a_batched_cancel_is_mapped(ending: Ending) -> None:
    events = read_cancel_batch(ending, [(ORDER, 5), ("another", 6)])
    assert [is_whole(event, attempt) for event, attempt in zip(events, (5, 6), strict=True)] == [True, True]
    assert not any(isinstance(event, Acknowledged | IdTaken) for event in events)


@pytest.mark.parametrize("status", range(100, 600))
def test_no_status_with_an_empty_body_is_a_yes_or_a_no(status: int) -> None:
    assert outcome(read_create(Answer(status, b""), OURS, 1)).split()[0] in ("attempt_unknown", "not_processed")


# -- amend, decrease, batched cancel: what they say when they are well


def test_an_amend_is_a_yes_with_our_order_id_whatever_it_leaves_out() -> None:
    short = Answer(200, json.dumps({"order_id": ORDER, "ts_ms": 7}).encode())
    assert read_amend(short, ORDER, 2) == AmendAcknowledged(attempt=2, order_id=ORDER, ts_ms=7)
    whole = Answer(200, json.dumps({"order_id": ORDER, "ts_ms": 7, "remaining_count": "3.50"}).encode())
    assert read_amend(whole, ORDER, 2) == AmendAcknowledged(attempt=2, order_id=ORDER, ts_ms=7, remaining_count_e2=350)


def test_a_decrease_is_a_yes_with_what_remains() -> None:
    whole = Answer(200, json.dumps({"order_id": ORDER, "ts_ms": 7, "remaining_count": "3.50"}).encode())
    assert read_decrease(whole, ORDER, 2) == DecreaseAcknowledged(
        attempt=2, order_id=ORDER, remaining_count_e2=350, ts_ms=7
    )
    short = Answer(200, json.dumps({"order_id": ORDER}).encode())
    assert outcome(read_decrease(short, ORDER, 2)).startswith("attempt_unknown unreadable")


@pytest.mark.parametrize("read", [read_amend, read_decrease])
def test_an_answer_about_another_order_or_a_404_is_no_answer(read: Any) -> None:
    other = Answer(200, json.dumps({"order_id": "another", "ts_ms": 7, "remaining_count": "1.00"}).encode())
    assert outcome(read(other, ORDER, 1)).startswith("attempt_unknown other_id")
    gone = Answer(404, b'{"error":{"code":"not_found","message":"not found"}}')
    assert outcome(read(gone, ORDER, 1)).startswith("attempt_unknown not_found")
    refused = Answer(400, b'{"error":{"code":"invalid_price","message":"off the grid"}}')
    assert outcome(read(refused, ORDER, 1)).startswith("attempt_refused")


def test_items_of_a_batched_cancel_are_known_by_their_order_id_alone() -> None:
    items = [
        {"order_id": "b", "reduced_by": "0.00", "ts_ms": None, "error": {"code": "not_found", "message": "not found"}},
        {"order_id": "a", "reduced_by": "2.00", "ts_ms": 9, "error": None},
        {"order_id": "c", "reduced_by": "1.00"},
        {"order_id": "c", "reduced_by": "1.00"},
    ]
    answer = Answer(200, json.dumps({"orders": items}).encode())
    told = read_cancel_batch(answer, [("a", 1), ("b", 2), ("c", 3), ("d", 4)])
    assert told[0] == CancelAcknowledged(attempt=1, order_id="a", reduced_by_e2=200, ts_ms=9)
    assert [(x.attempt, x.why) for x in told[1:] if isinstance(x, AttemptUnknown)] == [
        (2, "not_found"),
        (3, "missing_item"),
        (4, "missing_item"),
    ]


def test_a_batched_cancel_that_is_refused_as_a_whole_goes_singly() -> None:
    refused = Answer(400, b'{"error":{"code":"invalid_parameters","message":"no"}}')
    first, second = read_cancel_batch(refused, [("a", 1), ("b", 2)])
    assert isinstance(first, NotProcessed)
    assert (first.why, second.attempt) == ("batch_refused", 2)
    assert isinstance(read_cancel_batch(refused, [("a", 1)])[0], AttemptRefused)
