"""Reads: patience within one deadline, lists walked with suspicion, records that are exact."""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.errors import CredentialsError, ReadFailed
from oms.lifecycle.events import Snapshot
from oms.venue.account import Balance, Fill, read_fill, read_order
from oms.venue.door import Venue
from oms.venue.limiter import CANCEL, CREATE
from oms.venue.markets import Level, PriceRange
from oms.venue.pages import Listing
from oms.venue.wire import Unreadable, clip, parse, printable

from .hostile import Conn, Hostile, Seen, answering, hostile, http, routing

Connect = Callable[..., Venue]

ORDER = {
    "action": "buy",
    "book_side": "bid",
    "client_order_id": "4a75",
    "created_time": "2026-06-11T06:29:20.866753Z",
    "fill_count_fp": "0.25",
    "initial_count_fp": "1.00",
    "last_update_time": "2026-06-11T06:29:21Z",
    "maker_fees_dollars": "0.000100",
    "maker_fill_cost_dollars": "0.001000",
    "no_price_dollars": "0.9900",
    "order_id": "2597",
    "outcome_side": "yes",
    "remaining_count_fp": "0.75",
    "side": "yes",
    "status": "resting",
    "subaccount_number": 0,
    "taker_fees_dollars": "0.000200",
    "taker_fill_cost_dollars": "0.001500",
    "ticker": "KX-T",
    "type": "limit",
    "user_id": "u-1",
    "yes_price_dollars": "0.0100",
}


def order(number: int, **changes: Any) -> dict[str, Any]:
    return ORDER | {"order_id": f"o-{number}", "client_order_id": f"c-{number}"} | changes


def wire(item: dict[str, Any]) -> Any:
    """An item as the parser hands it on."""
    return parse(json.dumps(item).encode())


# -- patience -------------------------------------------------------------------------------------------------------

STATUS = http(200, {"exchange_active": True, "trading_active": False})


def test_a_read_is_repeated_after_what_may_pass(connect: Connect) -> None:
    def script(conn: Conn) -> None:
        number = conn.server.connections
        conn.read_request()
        if number == 1:
            conn.reset()
        elif number == 2:
            conn.send(STATUS[:-4])  # a body that is cut off
        else:
            conn.send(STATUS)

    with hostile(script) as server:
        assert not connect(server.base_url).exchange.status().trading_active
        assert len(server.requests) == 3


def test_a_read_is_repeated_a_few_times_only(connect: Connect) -> None:
    with hostile(answering(http(502, b"<html>"))) as server:
        with pytest.raises(ReadFailed, match="502"):
            connect(server.base_url).account.balance()
        assert len(server.requests) == 4


def test_a_read_ends_at_its_deadline(connect: Connect) -> None:
    def silent(conn: Conn) -> None:
        conn.read_request()
        conn.server.stopping.wait(30)

    with hostile(silent) as server:
        began = time.monotonic()
        with pytest.raises(ReadFailed, match="deadline"):
            connect(server.base_url, timeout_s=0.4).account.balance()
        assert time.monotonic() - began < 1.5


def test_a_429_drains_the_read_bucket_and_is_tried_again(connect: Connect) -> None:
    with hostile(answering(http(429, {"error": "too many requests"}), STATUS)) as server:
        venue = connect(server.base_url)
        venue.exchange.status()
        assert venue.limiter.read.available(venue.clock.now_us()) < 150
        assert len(server.requests) == 2


def test_an_empty_bucket_is_waited_for_within_the_deadline(connect: Connect) -> None:
    with hostile(answering(STATUS)) as server:
        venue = connect(server.base_url, timeout_s=0.3)
        venue.limiter.learn(read=(1, 10))
        venue.exchange.status()
        with pytest.raises(ReadFailed, match="no read token"):
            venue.exchange.status()
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_a_matter_of_credentials_and_asked_once(connect: Connect, status: int) -> None:
    said = {"error": {"code": "authentication_error", "message": "no", "details": "NOT_FOUND"}}
    with hostile(answering(http(status, said))) as server:
        with pytest.raises(CredentialsError, match="authentication_error: no: NOT_FOUND"):
            connect(server.base_url).account.balance()
        assert len(server.requests) == 1


def test_a_401_whose_date_corrects_our_clock_is_asked_again(connect: Connect) -> None:
    balance = http(200, {"balance_dollars": "1"}, "Date: Fri, 20 Nov 2026 08:00:00 GMT")
    expired = {"error": {"code": "header_timestamp_expired", "message": "header timestamp expired"}}

    def route(seen: Seen) -> bytes:
        off_ms = int(seen.headers["kalshi-access-timestamp"]) - 1_795_161_600_000
        return balance if abs(off_ms) < 5_000 else http(401, expired, "Date: Fri, 20 Nov 2026 08:00:00 GMT")

    with hostile(routing(route)) as server:
        venue = connect(server.base_url, now_us=lambda: 1_795_161_600_000_000 - 600_000_000)
        assert venue.account.balance().balance_e6 == 1_000_000
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"{", b"\xff\xfe", b"[1,2]", b"{}", b'{"balance_dollars":"x"}', b"null"]
)
def test_an_answer_that_cannot_be_read_is_a_failed_read(connect: Connect, raw: bytes) -> None:
    with hostile(answering(http(200, raw))) as server, pytest.raises(ReadFailed):
        connect(server.base_url).account.balance()


# -- lists ------------------------------------------------------------------------------------------------------------


class Book:
    """A listing served in pages; `cursors` names what leads to the page after."""

    def __init__(self, pages: list[Any], field: str = "orders", cursors: list[str] | None = None) -> None:
        self.pages = pages
        self.field = field
        self.cursors = cursors or [f"a+b/c={number}&x" for number in range(1, len(pages))] + [""]

    def route(self, seen: Seen) -> bytes:
        asked = parse_qs(urlsplit(seen.target).query).get("cursor", [""])[0]
        at = self.cursors.index(asked) + 1 if asked else 0
        return http(200, {self.field: self.pages[at], "cursor": self.cursors[at]})


def ids(listing: Listing[Snapshot]) -> list[str]:
    return [each.order_id for each in listing]


@pytest.mark.fault(61)
def test_all_pages_are_read_and_cursors_are_escaped(connect: Connect) -> None:
    pages = [[order(1), order(2)], [order(3)], [], [order(4)]]
    with hostile(routing(Book(pages).route)) as server:
        listing = connect(server.base_url).account.list_orders(min_ts=17, ticker="KX T&1")
        assert ids(listing) == ["o-1", "o-2", "o-3", "o-4"]
        assert (listing.complete, listing.pages, listing.seen, listing.unreadable) == (True, 4, 4, [])
        first, second = server.requests[0].target, server.requests[1].target
    assert first == "/trade-api/v2/portfolio/orders?min_ts=17&ticker=KX+T%261&limit=1000"
    assert second == first + "&cursor=a%2Bb%2Fc%3D1%26x"


def test_what_moves_to_the_next_page_is_given_once(connect: Connect) -> None:
    with hostile(routing(Book([[order(1), order(2)], [order(2), order(3)]]).route)) as server:
        assert ids(connect(server.base_url).account.list_orders()) == ["o-1", "o-2", "o-3"]


@pytest.mark.fault(61)
def test_a_cursor_that_comes_again_proves_nothing(connect: Connect) -> None:
    book = Book([[order(1)], [order(2)], [order(3)]], cursors=["x", "y", "x"])
    with hostile(routing(book.route)) as server:
        listing = connect(server.base_url).account.list_orders()
        with pytest.raises(ReadFailed, match="circle"):
            ids(listing)
        assert not listing.complete


def test_empty_pages_without_end_are_given_up(connect: Connect) -> None:
    book = Book([[order(1)], *[[] for _ in range(40)]])
    with hostile(routing(book.route)) as server:
        listing = connect(server.base_url).account.list_orders()
        with pytest.raises(ReadFailed, match="empty pages"):
            ids(listing)
        assert not listing.complete
        assert listing.pages < 30


def test_a_list_without_end_is_given_up() -> None:
    page = 0

    def fetch(query: Any) -> Any:
        nonlocal page
        page += 1
        return {"orders": [order(page)], "cursor": str(page)}

    listing = Listing(fetch, "orders", {}, read_order, lambda each: each.order_id, max_pages=7)
    with pytest.raises(ReadFailed, match="more than 7 pages"):
        ids(listing)
    assert page == 7


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"cursor":""}',
        b'{"orders":{},"cursor":""}',
        b'{"orders":[],"cursor":["x"]}',
        b"[]",
        b'{"message":"ok"}',
    ],
)
def test_a_page_that_is_none_proves_nothing(connect: Connect, raw: bytes) -> None:
    with hostile(answering(http(200, raw))) as server:
        listing = connect(server.base_url).account.list_orders()
        with pytest.raises(ReadFailed):
            ids(listing)
        assert not listing.complete


@pytest.mark.parametrize("raw", [b'{"orders":null,"cursor":null}', b'{"orders":[]}', b'{"orders":[],"cursor":""}'])
def test_an_empty_list_is_complete(connect: Connect, raw: bytes) -> None:
    with hostile(answering(http(200, raw))) as server:
        listing = connect(server.base_url).account.list_orders()
        assert ids(listing) == []
        assert listing.complete


def test_a_page_that_fails_fails_the_listing(connect: Connect) -> None:
    answers = [http(200, {"orders": [order(1)], "cursor": "x"}), http(400, {"error": {"code": "bad_request"}})]
    with hostile(answering(*answers)) as server:
        listing = connect(server.base_url).account.list_orders()
        with pytest.raises(ReadFailed, match="bad_request"):
            ids(listing)
        assert not listing.complete


@pytest.mark.fault(65)
def test_an_unreadable_order_is_kept_in_sight_and_hides_nobody(connect: Connect) -> None:
    items = [order(1), order(2, fill_count_fp="1.234"), order(3, order_id=None), None, order(5, status="a new word")]
    with hostile(routing(Book([items]).route)) as server:
        listing = connect(server.base_url).account.list_orders()
        found = list(listing)
    assert [(each.order_id, each.status) for each in found] == [("o-1", "resting"), ("o-5", "a new word")]
    assert [(each.order_id, each.client_order_id) for each in listing.unreadable] == [
        ("o-2", "c-2"),
        ("", "c-3"),
        ("", ""),
    ]
    assert "fill_count_fp" in listing.unreadable[0].reason


def test_other_lists_have_their_own_paths(connect: Connect) -> None:
    with hostile(routing(lambda seen: http(200, {"orders": [], "fills": [], "market_positions": []}))) as server:
        reads = connect(server.base_url).account
        for listing in (
            reads.historical_orders(min_ts=5),
            reads.fills(min_ts=6, order_id="o-1"),
            reads.historical_fills(ticker="T"),
            reads.positions(subaccount=0),
        ):
            assert list(listing) == []
        assert [seen.target.removeprefix("/trade-api/v2") for seen in server.requests] == [
            "/historical/orders?min_ts=5&limit=1000",
            "/portfolio/fills?min_ts=6&order_id=o-1&limit=1000",
            "/historical/fills?ticker=T&limit=1000",
            "/portfolio/positions?subaccount=0&limit=1000",
        ]


# -- records ----------------------------------------------------------------------------------------------------------


def test_an_order_is_read_exactly() -> None:
    assert read_order(wire(order(1, subaccount_number="3"))) == Snapshot(
        order_id="o-1",
        client_order_id="c-1",
        ticker="KX-T",
        side="bid",
        status="resting",
        price_e6=10_000,
        initial_count_e2=100,
        fill_count_e2=25,
        remaining_count_e2=75,
        fees_e6=300,
        fill_cost_e6=2_500,
        created_ts_ms=1_781_159_360_866,
        updated_ts_ms=1_781_159_361_000,
        subaccount=3,
        user_id="u-1",
    )


def test_an_order_without_its_optional_fields_is_read() -> None:
    numbers = ("yes_price_dollars", "initial_count_fp", "fill_count_fp", "remaining_count_fp")
    needed = ("order_id", "client_order_id", "book_side", *numbers)
    bare = read_order(wire({name: ORDER[name] for name in needed} | {"created_time": None, "surprise": {"x": []}}))
    assert (bare.user_id, bare.fees_e6, bare.created_ts_ms, bare.subaccount) == ("", 0, None, None)


def test_half_a_character_is_shown_as_one_that_is_unknown() -> None:
    assert parse(b'{"\\ud800": ["\\udc00", 1, "\\ud83d\\ude00"]}') == {"\ufffd": ["\ufffd", "1", "\U0001f600"]}


@pytest.mark.parametrize("name", [None, 7])
def test_an_order_that_does_not_say_its_client_order_id_cannot_be_read(name: object) -> None:
    """Whose it is, nobody can tell; an empty one is somebody's who gave none."""
    assert read_order(wire(order(1, client_order_id=""))).client_order_id == ""
    with pytest.raises(Unreadable, match="client_order_id"):
        read_order(wire(order(1, client_order_id=name)))


@pytest.mark.parametrize(
    ("side", "action", "expected"),
    [("yes", "buy", "bid"), ("yes", "sell", "ask"), ("no", "buy", "ask"), ("no", "sell", "bid")],
)
def test_the_side_of_an_older_order_comes_from_its_action(side: str, action: str, expected: str) -> None:
    assert read_order(wire(order(1, book_side=None, side=side, action=action))).side == expected


def test_a_price_that_is_only_given_for_no_is_turned() -> None:
    assert read_order(wire(order(1, yes_price_dollars=None))).price_e6 == 10_000


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": None},
        {"order_id": ""},
        {"order_id": "a/b"},
        {"book_side": None, "side": None},
        {"yes_price_dollars": None, "no_price_dollars": None},
        {"yes_price_dollars": "0.0000001"},
        {"initial_count_fp": "1e2"},
        {"remaining_count_fp": "-0.01"},
        {"taker_fees_dollars": "many"},
        {"subaccount_number": "first"},
    ],
)
def test_an_order_that_lacks_what_matters_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read_order(wire(order(1, **changes)))


@pytest.mark.fault(65)
@given(
    st.dictionaries(
        st.sampled_from(sorted(ORDER)), st.one_of(st.none(), st.text(max_size=8), st.integers(), st.lists(st.none()))
    )
)
def test_whatever_an_order_holds_it_is_read_or_unreadable(changes: dict[str, Any]) -> None:
    for read, item in ((read_order, ORDER | changes), (read_fill, FILL | changes)):
        with contextlib.suppress(Unreadable):
            read(wire(item))


FILL = {
    "fill_id": "t-1",
    "trade_id": "t-1",
    "order_id": "o-1",
    "ticker": "KX-T",
    "market_ticker": "KX-T",
    "book_side": "ask",
    "outcome_side": "no",
    "count_fp": "0.95",
    "yes_price_dollars": "0.5200",
    "no_price_dollars": "0.4800",
    "is_taker": True,
    "fee_cost": "0.017500",
    "created_time": "2026-06-11T06:29:20.866753Z",
    "ts": 1781159360,
    "subaccount_number": 0,
}


def test_a_fill_is_read_exactly() -> None:
    assert read_fill(wire(FILL)) == Fill(
        trade_id="t-1",
        order_id="o-1",
        ticker="KX-T",
        side="ask",
        count_e2=95,
        price_e6=520_000,
        fee_e6=17_500,
        is_taker=True,
        ts_ms=1_781_159_360_866,
        subaccount=0,
    )


def test_a_fill_knows_its_time_from_what_there_is() -> None:
    assert read_fill(wire(FILL | {"created_time": None, "ts": "1781159360"})).ts_ms == 1_781_159_360_000
    assert read_fill(wire(FILL | {"ts_ms": "1781159360999"})).ts_ms == 1_781_159_360_999
    assert read_fill(wire(FILL | {"trade_id": None, "fill_id": "f-9"})).trade_id == "f-9"
    assert read_fill(wire(FILL | {"trade_id": "t-9", "fill_id": None})).trade_id == "t-9"
    assert read_fill(wire(FILL | {"trade_id": "t-9", "fill_id": "f-9"})).trade_id == "f-9", "one trade, two fills"
    with pytest.raises(Unreadable):
        read_fill(wire(FILL | {"created_time": None, "ts": None}))


def test_one_order_is_read_and_404_is_none(connect: Connect) -> None:
    not_found = {"error": {"code": "not_found", "message": "not found"}}
    with hostile(
        answering(http(200, {"order": order(1)}), http(404, not_found), http(200, {"order": order(2)}))
    ) as server:
        reads = connect(server.base_url).account
        found = reads.get_order("o-1")
        assert found is not None
        assert found.client_order_id == "c-1"
        assert reads.get_order("o-1") is None
        with pytest.raises(ReadFailed, match="answered with o-2"):
            reads.get_order("o-1")


def served(connect: Connect, body: Any, ask: Callable[[Venue], Any], status: int = 200) -> tuple[Any, Hostile]:
    with hostile(answering(http(status, body))) as server:
        return ask(connect(server.base_url)), server


def test_the_balance_is_exact(connect: Connect) -> None:
    recorded = {"balance": 9801, "balance_dollars": "98.0186", "portfolio_value": 198, "updated_ts": 1781159348}
    found, _ = served(connect, recorded, lambda venue: venue.account.balance())
    assert found == Balance(balance_e6=98_018_600, portfolio_value_e6=1_980_000, updated_ts=1_781_159_348)
    found, _ = served(connect, {"balance": 9801}, lambda venue: venue.account.balance())
    assert found.balance_e6 == 98_010_000


def test_positions_keep_their_sign(connect: Connect) -> None:
    held = {
        "ticker": "KX-T",
        "position_fp": "-2.50",
        "market_exposure_dollars": "1.200000",
        "realized_pnl_dollars": "-0.100000",
        "fees_paid_dollars": "0.017500",
        "total_traded_dollars": "3.000000",
        "last_updated_ts": "2026-06-11T06:29:20Z",
    }
    [found], _ = served(connect, {"market_positions": [held]}, lambda venue: list(venue.account.positions()))
    assert (found.position_e2, found.realized_pnl_e6, found.updated_us) == (-250, -100_000, 1_781_159_360_000_000)


def test_limits_and_costs_are_learned(connect: Connect) -> None:
    def route(seen: Seen) -> bytes:
        if seen.target.endswith("/account/limits"):
            bucket = {"refill_rate": 300, "bucket_capacity": 900}
            return http(200, {"usage_tier": "advanced", "read": bucket, "write": bucket, "grants": []})
        costs = [{"method": "DELETE", "path": "/trade-api/v2/portfolio/events/orders/:order_id", "cost": 3}]
        return http(200, {"default_cost": 12, "endpoint_costs": costs})

    with hostile(routing(route)) as server:
        venue = connect(server.base_url)
        venue.learn_limits()
    assert venue.limiter.costs.of(CANCEL) == 3
    assert venue.limiter.costs.of(CREATE) == 12
    assert (venue.limiter.write.refill_per_s, venue.limiter.write.capacity) == (300, 900)


@pytest.mark.parametrize("status", [200, 500, 503, 504])
def test_the_exchange_tells_its_status_whatever_the_http_status(connect: Connect, status: int) -> None:
    shard = {"exchange_index": 1, "description": "x", "exchange_active": True, "trading_active": False}
    body = {
        "exchange_active": True,
        "trading_active": False,
        "exchange_estimated_resume_time": "2026-06-11T06:00:00Z",
        "exchange_index_statuses": [shard],
    }
    found, server = served(connect, body, lambda venue: venue.exchange.status(), status)
    assert (found.exchange_active, found.trading_active) == (True, False)
    assert (found.shards[0].exchange_index, found.shards[0].trading_active) == (1, False)
    assert len(server.requests) == 1


def test_a_status_that_is_an_error_page_is_a_failed_read(connect: Connect) -> None:
    with pytest.raises(ReadFailed):
        served(connect, b"<html>", lambda venue: venue.exchange.status(), 503)


def test_freshness_and_cutoff_are_milliseconds(connect: Connect) -> None:
    found, _ = served(
        connect, {"as_of_time": "2026-06-11T06:29:20.866753Z"}, lambda venue: venue.exchange.user_data_timestamp_ms()
    )
    assert found == 1_781_159_360_866
    body = {"orders_updated_ts": "2026-06-11T06:29:20Z", "trades_created_ts": "2026-06-11T08:29:21+02:00"}
    cutoff, _ = served(connect, body, lambda venue: venue.exchange.historical_cutoff())
    assert (cutoff.orders_updated_ms, cutoff.trades_created_ms) == (1_781_159_360_000, 1_781_159_361_000)
    with pytest.raises(ReadFailed):
        served(connect, {"as_of_time": None}, lambda venue: venue.exchange.user_data_timestamp_ms())


MARKET = {
    "ticker": "KX-T",
    "event_ticker": "KX",
    "title": "Rain \u202e tomorrow",
    "status": "active",
    "yes_bid_dollars": "0.4700",
    "yes_ask_dollars": "",
    "last_price_dollars": None,
    "volume_fp": "12.50",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
    "exchange_index": 2,
}


def test_a_market_is_read_and_its_text_is_made_harmless(connect: Connect) -> None:
    found, _ = served(connect, {"market": MARKET}, lambda venue: venue.markets.market("KX-T"))
    assert (found.yes_bid_e6, found.yes_ask_e6, found.last_price_e6, found.volume_e2) == (470_000, None, None, 1250)
    assert found.price_ranges == (PriceRange(0, 1_000_000, 1_000),)
    assert found.title == "Rain \\u202e tomorrow"
    nothing, _ = served(connect, {"error": {"code": "not_found"}}, lambda venue: venue.markets.market("X"), 404)
    assert nothing is None


def test_markets_are_listed_up_to_the_limit_and_searched(connect: Connect) -> None:
    pages = [
        [MARKET | {"ticker": f"KX-{page}{number}", "title": f"t{number}"} for number in range(3)] for page in "abc"
    ]
    with hostile(routing(Book(pages, "markets").route)) as server:
        markets = connect(server.base_url).markets
        assert [each.ticker for each in markets.markets(limit=4)] == ["KX-a0", "KX-a1", "KX-a2", "KX-b0"]
        assert [each.ticker for each in markets.markets(search="kx-C")] == ["KX-c0", "KX-c1", "KX-c2"]
        assert [each.ticker for each in markets.markets(search="T1")] == ["KX-a1", "KX-b1", "KX-c1"]
        assert server.requests[0].target == "/trade-api/v2/markets?status=open&limit=4"


def test_the_book_is_sorted_best_first_in_yes_terms(connect: Connect) -> None:
    raw = {
        "orderbook_fp": {
            "yes_dollars": [["0.4500", "1.00"], ["0.4700", "3.00"]],
            "no_dollars": [["0.4800", "3.25"], ["0.1", "5"]],
        }
    }
    book, _ = served(connect, raw, lambda venue: venue.markets.orderbook("KX-T"))
    assert book.bids == (Level(470_000, 300), Level(450_000, 100))
    assert book.asks == (Level(520_000, 325), Level(900_000, 500))
    empty, _ = served(connect, {"orderbook_fp": {"yes_dollars": None}}, lambda venue: venue.markets.orderbook("KX-T"))
    assert (empty.bids, empty.asks) == ((), ())
    with pytest.raises(ReadFailed):
        served(connect, {"orderbook_fp": {"yes_dollars": [["x", "1"]]}}, lambda venue: venue.markets.orderbook("KX-T"))


# -- text -----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60), st.integers(10, 40))
def test_foreign_text_becomes_printable_and_short(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown.encode()) <= limit
    if text.isprintable() and len(text.encode()) <= limit - 3:
        assert shown == text


@given(st.binary(max_size=300))
def test_any_bytes_can_be_shown(raw: bytes) -> None:
    assert clip(raw).isprintable()
    assert len(clip(raw, 50).encode()) <= 50
