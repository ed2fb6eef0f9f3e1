"""Whatever the exchange answers, it is understood, doubted or a failed read: never another exception, never a guess."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import CredentialsError, ReadFailed
from oms.lifecycle import events as e
from oms.venue.account import read_order
from oms.venue.answers import REFUSING, read_batch, read_cancel, read_create
from oms.venue.clock import ExchangeClock
from oms.venue.door import Venue
from oms.venue.limiter import Limiter
from oms.venue.pages import Listing
from oms.venue.transport import Answer
from oms.venue.wire import Unreadable, parse, parse_error
from tests.lab.fuzzing import LENGTHS, ODD, READS, answers, spoiled

STATUSES = st.sampled_from([200, 201, 202, 204, 207, 301, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 502, 503])
ASKED = [("c-3", 1), ("c-4", 2)]


def is_fit(event: e.Event) -> bool:
    """Whether the ledger takes it and gives it back."""
    return e.decode(e.kind_of(event), e.encode(event)) == event


def is_no_guess(answer: Answer, event: e.Event) -> bool:
    """A no rests on a code that can be read, a yes on ids that are ours."""
    if isinstance(event, e.AttemptRefused):
        return bool(event.code)
    if isinstance(event, e.Acknowledged):
        return answer.status in (200, 201, 207) and bool(event.order_id)
    return True


@LENGTHS
def test_any_answer_to_a_create_is_an_event(length: Callable[..., Any]) -> None:
    @length
    @given(spoiled(answers()["create"]) | spoiled(answers()["refusal"]), STATUSES)
    def holds(body: bytes, status: int) -> None:
        answer = Answer(status, body)
        event = read_create(answer, "c-1", 1)
        assert is_fit(event)
        assert is_no_guess(answer, event)
        if isinstance(event, e.Acknowledged):
            assert json.loads(body)["client_order_id"] == "c-1"
        if isinstance(event, e.AttemptRefused):
            assert status in REFUSING
            assert parse_error(body).code == event.code

    holds()


@LENGTHS
def test_any_answer_to_a_batch_is_an_event_for_each(length: Callable[..., Any]) -> None:
    @length
    @given(spoiled(answers()["batch"]) | spoiled(answers()["refusal"]), STATUSES)
    def holds(body: bytes, status: int) -> None:
        answer = Answer(status, body)
        found = read_batch(answer, ASKED)
        assert len(found) == len(ASKED)
        for event in found:
            assert is_fit(event)
            assert is_no_guess(answer, event)
        refused = [event for event in found if isinstance(event, e.AttemptRefused)]
        assert not refused or status in (200, 201, 207), "a no to several orders at once names none of them"

    holds()


@LENGTHS
def test_any_answer_to_a_cancel_is_an_event(length: Callable[..., Any]) -> None:
    order_id = answers()["cancel"]["order_id"]

    @length
    @given(spoiled(answers()["cancel"]) | spoiled(answers()["refusal"]), STATUSES)
    def holds(body: bytes, status: int) -> None:
        answer = Answer(status, body)
        event = read_cancel(answer, order_id, 1)
        assert is_fit(event)
        assert is_no_guess(answer, event)
        assert not isinstance(event, e.Acknowledged | e.IdTaken)
        if isinstance(event, e.CancelAcknowledged):
            assert (status, event.order_id) == (200, order_id)

    holds()


# -- reads


class Said:
    """A transport that says what it is told, again and again; its time passes by sleeping."""

    key = object()
    timeout_s = 1.0

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.slept_s = 0.0
        self.clock = ExchangeClock(lambda: int((1_790_000_000 + self.slept_s) * 1e6), lambda: self.slept_s)

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds

    def channel(self) -> "Said":
        return self

    def read(self, request: object, timeout_s: float) -> Answer:
        return self.answer


def venue_of(status: int, body: bytes) -> Venue:
    limiter = Limiter()
    limiter.learn(read=(10**9, 10**9))
    said: Any = Said(Answer(status, body))
    return Venue(said, limiter, said.sleep)


def consume(read: Callable[[Venue], Any]) -> Callable[[Venue], object]:
    def whole(venue: Venue) -> object:
        found = read(venue)
        return list(found) if isinstance(found, Iterable) else found

    return whole


CALLS: dict[str, Callable[[Venue], object]] = {
    "/portfolio/orders": consume(lambda venue: venue.account.list_orders()),
    "/portfolio/orders/{order_id}": lambda venue: venue.account.get_order(answers()["create"]["order_id"]),
    "/portfolio/fills": consume(lambda venue: venue.account.fills()),
    "/portfolio/positions": consume(lambda venue: venue.account.positions()),
    "/portfolio/balance": lambda venue: venue.account.balance(),
    "/historical/cutoff": lambda venue: venue.exchange.historical_cutoff(),
    "/exchange/status": lambda venue: venue.exchange.status(),
    "/exchange/user_data_timestamp": lambda venue: venue.exchange.user_data_timestamp_ms(),
    "/account/limits": lambda venue: venue.account.limits(),
    "/account/endpoint_costs": lambda venue: venue.account.endpoint_costs(),
    "/markets": consume(lambda venue: venue.markets.markets(status=None, search=None, limit=50)),
    "/markets/{ticker}": lambda venue: venue.markets.market("T"),
    "/markets/{ticker}/orderbook": lambda venue: venue.markets.orderbook("T"),
}


def outcome(read: Callable[[], object]) -> tuple[object, str]:
    """What was read, or what is said of why not; nothing but our own errors may come of a read."""
    try:
        return read(), ""
    except (ReadFailed, CredentialsError) as exc:
        return None, str(exc)


def test_every_read_is_among_those_that_are_fuzzed() -> None:
    assert set(CALLS) == set(READS)


@LENGTHS
@pytest.mark.parametrize("path", READS)
def test_any_answer_to_a_read_is_read_or_a_failed_read(path: str, length: Callable[..., Any]) -> None:
    assert CALLS[path](venue_of(200, json.dumps(answers()[path]).encode())) is not None

    @length
    @given(spoiled(answers()[path]), st.just(200) | STATUSES)
    def holds(body: bytes, status: int) -> None:
        found, said = outcome(lambda: CALLS[path](venue_of(status, body)))
        assert said.isprintable()
        if not said:
            assert status == 200 or found is None or path == "/exchange/status"
            assert all(char.isprintable() for char in texts_of(found)), found

    holds()


def texts_of(value: object) -> str:
    """All text that would be shown of it."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(map(texts_of, value.values()))
    if isinstance(value, list | tuple):
        return "".join(map(texts_of, value))
    fields = getattr(value, "__struct_fields__", ())
    return "".join(texts_of(getattr(value, name)) for name in fields)


# -- cursors


CURSORS = st.sampled_from(["", "a", "b", "c", "+/=", "\x00", "a" * 900])
PAGES = st.lists(
    st.tuples(st.lists(st.integers(0, 3), max_size=3), CURSORS | ODD, st.sampled_from(["orders"] * 9 + ["other"])),
    min_size=1,
    max_size=8,
)


@LENGTHS
def test_any_sequence_of_pages_ends_and_a_circle_concludes_nothing(length: Callable[..., Any]) -> None:
    order = answers()["/portfolio/orders"]["orders"][0]

    @length
    @given(PAGES)
    def holds(pages: list[tuple[list[int], Any, str]]) -> None:
        asked: list[str] = []

        def fetch(query: Any) -> Any:
            asked.append(query.get("cursor", ""))
            items, cursor, name = pages[min(len(asked), len(pages)) - 1]
            return {
                name: [parse(json.dumps({**order, "order_id": f"o-{n}"}).encode()) for n in items],
                "cursor": cursor,
            }

        listing = Listing(fetch, "orders", {}, read_order, lambda found: found.order_id, max_pages=20)
        try:
            found = [each.order_id for each in listing]
        except ReadFailed:
            assert not listing.complete
        else:
            assert listing.complete
            assert len(found) == len(set(found))
            assert len(asked) == len(set(asked)), "a cursor was followed twice"
            shown = {f"o-{n}" for items, _, _ in pages[: len(asked)] for n in items}
            assert set(found) == shown
        assert len(asked) <= 20

    holds()


@LENGTHS
def test_any_bytes_are_json_that_reads_one_way_or_unreadable(length: Callable[..., Any]) -> None:
    @length
    @given(spoiled(answers()["batch"]))
    def holds(body: bytes) -> None:
        try:
            found = parse(body)
        except Unreadable:
            return
        assert found == parse(json.dumps(found).encode())

    holds()
