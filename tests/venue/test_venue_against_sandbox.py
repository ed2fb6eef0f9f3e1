"""Every call of the venue against the sandbox exchange, in good and in bad weather."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oms.errors import CredentialsError, ReadFailed
from oms.lifecycle.events import (
    Acknowledged,
    AttemptRefused,
    AttemptUnknown,
    CancelAcknowledged,
    Event,
    IdTaken,
    NotProcessed,
    kind_of,
)
from oms.venue.door import Venue
from oms.venue.keys import load_key
from oms.venue.orders import OrderRequest
from tests.sandbox.running import Sandbox, order, start_sandbox

TICKER = "SBXRAIN-A-T10"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start_sandbox(tmp_path_factory.mktemp("exchange"), tier="unlimited") as running:
        yield running


@pytest.fixture
def venue(sandbox: Sandbox) -> Iterator[Venue]:
    made = connected(sandbox)
    yield made
    made.channel().close()
    sandbox.control(faults=[], pause="none", clock_offset_ms=0)


def connected(sandbox: Sandbox, **more: Any) -> Venue:
    return Venue.connect(sandbox.base_url, sandbox.key_id, load_key(str(sandbox.private_key_path)), 5.0, **more)


def request(client_order_id: str, attempt: int = 1, **changes: Any) -> OrderRequest:
    return OrderRequest(json.dumps(order(client_order_id=client_order_id, **changes)), client_order_id, attempt)


def create(venue: Venue, client_order_id: str, **changes: Any) -> Event:
    return venue.orders.create(venue.channel(), request(client_order_id, **changes), venue.clock.now_ms())


def fault(sandbox: Sandbox, kind: str, operation: str = "", **fields: Any) -> None:
    match = {"operation": operation} if operation else {"method": "POST"}
    sandbox.control(faults=[{"fault": {"kind": kind, **fields}, "match": match}])


def at_exchange(sandbox: Sandbox, client_order_id: str) -> int:
    return sum(row["client_order_id"] == client_order_id for row in sandbox.orders())


def test_an_order_is_placed_read_listed_and_canceled(sandbox: Sandbox, venue: Venue) -> None:
    event = create(venue, "fine-1", count="2.50", price="0.0200")
    assert isinstance(event, Acknowledged)
    assert (event.fill_count_e2, event.remaining_count_e2) == (0, 250)

    seen = venue.account.get_order(event.order_id)
    assert seen is not None
    assert (seen.client_order_id, seen.ticker, seen.side, seen.status) == ("fine-1", TICKER, "bid", "resting")
    assert (seen.price_e6, seen.initial_count_e2, seen.remaining_count_e2) == (20_000, 250, 250)
    assert seen.user_id
    assert seen.created_ts_ms is not None

    listing = venue.account.list_orders(min_ts=seen.created_ts_ms // 1000 - 60)
    assert "fine-1" in {each.client_order_id for each in listing}
    assert (listing.complete, listing.unreadable) == (True, [])

    canceled = venue.orders.cancel(venue.channel(), event.order_id, TICKER, None, 1, venue.clock.now_ms())
    assert isinstance(canceled, CancelAcknowledged)
    assert canceled.reduced_by_e2 == 250
    again = venue.orders.cancel(venue.channel(), event.order_id, TICKER, None, 2, venue.clock.now_ms())
    assert isinstance(again, AttemptUnknown)
    assert again.why == "not_found"


def test_a_filled_order_shows_its_fills_fees_position_and_balance(sandbox: Sandbox, venue: Venue) -> None:
    book = venue.markets.orderbook(TICKER)
    assert book is not None
    before = venue.account.balance()
    event = create(venue, "fill-1", count="1.00", price="0.9900", time_in_force="immediate_or_cancel")
    assert isinstance(event, Acknowledged)
    assert event.fill_count_e2 == 100
    fills = list(venue.account.fills(order_id=event.order_id))
    assert sum(fill.count_e2 for fill in fills) == 100
    assert fills[0].price_e6 == book.asks[0].price_e6
    seen = venue.account.get_order(event.order_id)
    assert seen is not None
    assert seen.status == "executed"
    assert seen.fees_e6 == sum(fill.fee_e6 for fill in fills)
    assert venue.account.balance().balance_e6 < before.balance_e6
    held = {each.ticker: each.position_e2 for each in venue.account.positions()}
    assert held[TICKER] >= 100


def test_a_batch_answers_for_each_of_its_orders(sandbox: Sandbox, venue: Venue) -> None:
    create(venue, "batch-taken")
    requests = [
        request("batch-1"),
        request("batch-taken", attempt=3),
        request("batch-3", price="0.9999999"),
        request("batch-4"),
    ]
    events = venue.orders.create_batch(venue.channel(), requests, venue.clock.now_ms())
    assert [type(event) for event in events] == [Acknowledged, IdTaken, AttemptRefused, Acknowledged]
    assert at_exchange(sandbox, "batch-1") == at_exchange(sandbox, "batch-4") == 1


@pytest.mark.parametrize("kind", ["reorder", "no_client_order_id", "omit_items"])
def test_a_batch_answer_in_bad_shape_is_still_understood_rightly(sandbox: Sandbox, venue: Venue, kind: str) -> None:
    names = [f"{kind}-{number}" for number in range(4)]
    fault(sandbox, kind, keep=2)
    events = venue.orders.create_batch(venue.channel(), [request(name) for name in names], venue.clock.now_ms())
    truth = {row["client_order_id"]: row["order_id"] for row in sandbox.orders()}
    for name, event in zip(names, events, strict=True):
        if isinstance(event, Acknowledged):
            assert event.order_id == truth[name]
        else:
            assert isinstance(event, AttemptUnknown)
    wanted = 2 if kind == "omit_items" else 4
    assert sum(isinstance(event, Acknowledged) for event in events) == wanted


def test_a_refusal_carries_the_exchanges_code(venue: Venue) -> None:
    event = create(venue, "refused-1", price="1.5000")
    assert isinstance(event, AttemptRefused)
    assert (event.http_status, event.code) == (400, "invalid_price")
    assert isinstance(create(venue, "refused-2", ticker="NO-SUCH-MARKET"), AttemptRefused)


def test_the_same_id_again_is_taken(venue: Venue) -> None:
    create(venue, "twice")
    assert isinstance(create(venue, "twice"), IdTaken)


def test_a_pause_is_no_refusal(sandbox: Sandbox, venue: Venue) -> None:
    sandbox.control(pause="trading")
    event = create(venue, "paused")
    assert isinstance(event, NotProcessed)
    assert event.why == "paused"
    assert not venue.exchange.status().trading_active
    sandbox.control(pause="none")
    assert venue.exchange.status().trading_active
    assert isinstance(create(venue, "paused"), Acknowledged)


# Of the fault, what a create may be taken for; the exchange's own book says whether that was right.
WEATHER: list[tuple[str, dict[str, Any], str]] = [
    ("drop", {}, "no_answer"),
    ("drop", {"commit": True}, "no_answer"),
    ("drop", {"commit": True, "reset": True}, "no_answer"),
    ("error", {}, "http_5xx"),
    ("error", {"commit": True}, "http_5xx"),
    ("error", {"status": 408, "commit": True}, "http_408"),
    ("html", {}, "http_5xx"),
    ("html", {"status": 400}, "no_code"),
    ("redirect", {"body": "http://127.0.0.1:1/"}, "http_307"),
    ("cut_body", {"keep": 20}, "no_answer"),
    ("cut_headers", {}, "unreadable"),
    ("empty", {}, "unreadable"),
    ("not_json", {}, "unreadable"),
    ("other_client_order_id", {}, "other_id"),
    ("no_order_id", {}, "unreadable"),
    ("status", {"status": 202}, "unreadable"),
    ("status", {"status": 500}, "http_5xx"),
    ("rate_limited", {}, "rate_limited"),
    ("clock", {}, "unauthorized"),
    ("paused", {}, "paused"),
    ("paused", {"what": "exchange"}, "paused"),
    ("forbidden", {}, "attempt_refused"),
    ("not_found", {}, "attempt_refused"),
    ("gone", {}, "attempt_refused"),
    ("no_client_order_id", {}, "acknowledged"),
    ("duplicate", {"ms": 1}, "acknowledged"),
    ("delay", {"ms": 50}, "acknowledged"),
]


def posts(sandbox: Sandbox, since: int) -> list[dict[str, Any]]:
    return [row for row in sandbox.log()[since:] if row["method"] == "POST" and row["path"].startswith("/trade-api")]


@pytest.mark.parametrize(("kind", "fields", "expected"), WEATHER)
def test_each_fault_is_taken_for_what_it_is(
    sandbox: Sandbox, venue: Venue, kind: str, fields: dict[str, Any], expected: str
) -> None:
    name = f"w-{kind}-{'-'.join(str(value) for value in fields.values())}".replace("/", "").replace(":", "")[:60]
    fault(sandbox, kind, **fields)
    before = len(sandbox.log())
    event = create(venue, name)
    assert getattr(event, "why", "") == expected or kind_of(event) == expected, event
    arrived = 2 if kind == "duplicate" else 1
    wait_for(lambda: len(posts(sandbox, before)) >= arrived)
    assert len(posts(sandbox, before)) == arrived
    if isinstance(event, NotProcessed | AttemptRefused):
        assert at_exchange(sandbox, name) == 0
    if isinstance(event, Acknowledged):
        assert at_exchange(sandbox, name) == 1


@pytest.mark.parametrize(("kind", "fields"), [("hang", {}), ("trickle", {"ms": 40})])
def test_an_answer_that_takes_too_long_is_doubt(sandbox: Sandbox, kind: str, fields: dict[str, Any]) -> None:
    venue = connected(sandbox)
    venue.transport.timeout_s = 0.5
    fault(sandbox, kind, **fields)
    began = time.monotonic()
    event = create(venue, f"slow-{kind}")
    assert isinstance(event, AttemptUnknown)
    assert event.why == "no_answer"
    assert time.monotonic() - began < 2
    sandbox.control(faults=[])
    assert at_exchange(sandbox, f"slow-{kind}") == 1
    venue.channel().close()


@pytest.mark.parametrize("kind", ["drop", "error", "html", "cut_body", "rate_limited"])
def test_a_listing_is_repeated_through_a_fault(sandbox: Sandbox, venue: Venue, kind: str) -> None:
    create(venue, f"listed-{kind}")
    fault(sandbox, kind, operation="GetOrders")
    assert f"listed-{kind}" in {each.client_order_id for each in venue.account.list_orders()}


def test_a_listing_that_goes_round_proves_nothing(
    sandbox: Sandbox, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms.venue.account.PAGE_LIMIT", 2)
    for number in range(5):
        create(venue, f"circle-{number}")
    assert len(list(venue.account.list_orders())) >= 5
    sandbox.control(faults=[{"fault": {"kind": "repeat_cursor"}, "match": {"operation": "GetOrders", "times": None}}])
    with pytest.raises(ReadFailed):
        list(venue.account.list_orders())


def test_a_clock_that_is_off_is_corrected_by_the_first_answer(sandbox: Sandbox) -> None:
    venue = connected(sandbox, now_us=lambda: time.time_ns() // 1000 - 120_000_000)
    first = create(venue, "clock-1")
    assert isinstance(first, NotProcessed)
    assert first.why == "unauthorized"
    assert isinstance(create(venue, "clock-1"), Acknowledged)
    assert abs(venue.clock.offset_us - 120_000_000) <= 2_500_000
    venue.channel().close()


def test_a_wrong_key_id_is_unauthorized(sandbox: Sandbox) -> None:
    stranger = Venue.connect(sandbox.base_url, "no-such-key", load_key(str(sandbox.private_key_path)), 5.0)
    event = create(stranger, "stranger")
    assert isinstance(event, NotProcessed)
    assert event.why == "unauthorized"
    with pytest.raises(CredentialsError):
        stranger.account.balance()
    stranger.channel().close()


def test_the_exchange_tells_limits_costs_freshness_and_markets(venue: Venue) -> None:
    venue.learn_limits()
    assert venue.limiter.write.refill_per_s > 0
    assert abs(venue.exchange.user_data_timestamp_ms() - venue.clock.now_ms()) < 60_000
    assert venue.exchange.historical_cutoff().orders_updated_ms < venue.clock.now_ms()
    market = venue.markets.market(TICKER)
    assert market is not None
    assert market.price_ranges
    assert TICKER in {each.ticker for each in venue.markets.markets(search=TICKER)}
    assert venue.markets.market("NO-SUCH-MARKET") is None
    assert list(venue.account.historical_orders()) == []
    assert list(venue.account.historical_fills()) == []


def test_senders_place_side_by_side_over_their_own_connections(sandbox: Sandbox, venue: Venue) -> None:
    events: dict[str, Event] = {}

    def sender(number: int) -> None:
        channel = venue.channel()
        for step in range(10):
            name = f"side-{number}-{step}"
            events[name] = venue.orders.create(channel, request(name), venue.clock.now_ms())
        channel.close()

    threads = [threading.Thread(target=sender, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    truth = {row["client_order_id"]: row["order_id"] for row in sandbox.orders()}
    assert len(events) == 40
    assert all(isinstance(event, Acknowledged) and event.order_id == truth[name] for name, event in events.items())


def test_an_exchange_that_dies_under_the_request_leaves_doubt_and_then_nothing_is_sent(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with start_sandbox(tmp_path_factory.mktemp("mortal")) as mortal:
        venue = connected(mortal)
        assert isinstance(create(venue, "alive"), Acknowledged)
        mortal.control(faults=[{"fault": {"kind": "hang"}, "match": {"method": "POST"}}])
        killer = threading.Thread(target=kill_when_asked, args=(mortal, "dying"))
        killer.start()
        doubt = create(venue, "dying")
        killer.join()
        assert isinstance(doubt, AttemptUnknown)
        event = create(venue, "after")
        assert isinstance(event, NotProcessed)
        assert event.why == "not_sent"
        mortal.restart()
        assert isinstance(create(venue, "after"), Acknowledged)
        venue.channel().close()


def kill_when_asked(mortal: Sandbox, client_order_id: str) -> None:
    wait_for(lambda: any(client_order_id in row["client_order_ids"] for row in mortal.log()))
    mortal.kill()


def wait_for(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)
