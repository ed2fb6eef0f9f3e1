"""Limits at intake, through `Oms`: nothing is recorded that is over one, and what is used and left can be seen."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from oms import Oms
from oms.app.limiting import limiting
from oms.app.limits import hold_change
from oms.app.tally import Memory
from oms.config import load
from oms.errors import LimitExceeded, ReadFailed
from oms.interrupt import Interrupt
from oms.ledger import exposure, queries
from oms.lifecycle.states import CommandState, Terms
from oms.venue.door import Venue as RealVenue
from oms.venue.markets import Level, Market, OrderBook, PriceRange

Open = Callable[..., Oms]


class Venue:
    """Markets as a test says they are, and how often they were asked about."""

    def __init__(self) -> None:
        self.markets = self
        self.known: dict[str, Market] = {}
        self.books: dict[str, OrderBook] = {}
        self.asked: list[str] = []
        self.fails = False

    def market(self, ticker: str, **changes: Any) -> None:
        given: dict[str, Any] = {
            "ticker": ticker,
            "event_ticker": "EV",
            "status": "active",
            "price_ranges": (PriceRange(0, 1_000_000, 10_000),),
        }
        self.known[ticker] = Market(**{**given, **changes})

    def book(self, ticker: str, bid_e6: int, ask_e6: int) -> None:
        self.books[ticker] = OrderBook(ticker=ticker, bids=(Level(bid_e6, 100),), asks=(Level(ask_e6, 100),))

    def __call__(self, *, status: str | None, tickers: list[str], limit: int) -> list[Market]:
        if self.fails:
            raise ReadFailed("the exchange is out of reach")
        self.asked += tickers
        return [self.known[ticker] for ticker in tickers if ticker in self.known]

    def orderbook(self, ticker: str) -> OrderBook | None:
        return self.books.get(ticker)


class Markets:
    """The venue's `markets`, whose listing has the same name."""

    def __init__(self, venue: Venue) -> None:
        self.markets = venue
        self.orderbook = venue.orderbook


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def opened(tmp_path: Path, venue: Venue) -> Open:
    """An Oms on one ledger with limits of the test's."""

    def make(**limits: str) -> Oms:
        flags = {f"limits.{name}": value for name, value in limits.items()}
        config = load({"environment": "sandbox", **flags}, {"HOME": str(tmp_path)})
        memory = Memory()
        memory.where, memory.venue = "here", venue  # type: ignore[assignment]
        venue.markets = Markets(venue)  # type: ignore[assignment]
        return Oms(config, Interrupt(), memory=memory)

    return make


def row(**changes: Any) -> dict[str, Any]:
    return {"ticker": "EV-A", "action": "buy", "side": "yes", "count": 10, "price": "0.50", **changes}


def recorded(oms: Oms) -> int:
    try:
        return len(list(oms.orders()))
    except Exception:
        return 0


def refused(oms: Oms, *rows: dict[str, Any]) -> LimitExceeded:
    before = recorded(oms)
    with pytest.raises(LimitExceeded) as raised:
        oms.submit(list(rows), send=False)
    assert raised.value.exit_code == 5
    assert recorded(oms) == before
    return raised.value


def test_an_order_over_a_limit_is_not_recorded_and_the_message_names_limit_value_and_row(opened: Open) -> None:
    with opened(max_order_count="9") as oms:
        problem = refused(oms, row(count=9), row())
        assert str(problem) == (
            "row 2: bid 10.00 EV-A at 0.5000: its count is 10.00; limits.max_order_count = 9.00;"
            " nothing was recorded and nothing was sent"
        )
        assert "oms limits" in problem.hint
        oms.submit([row(count=9)], send=False)
        assert recorded(oms) == 1


def test_every_order_over_a_limit_is_named(opened: Open) -> None:
    with opened(deny_tickers="EV-*") as oms:
        problem = refused(oms, row(), row(ticker="KX-A"), row(ticker="EV-B"))
        assert str(problem).startswith("2 orders are over your limits, the first is row 1: bid 10.00 EV-A")
        assert [each.field for each in problem.problems] == ["limits.deny_tickers"] * 2
        assert [each.reason.partition(":")[0] for each in problem.problems] == ["row 1", "row 3"]


@pytest.mark.fault(80)
def test_rows_of_one_batch_count_together_and_with_what_is_queued(opened: Open) -> None:
    with opened(max_market_exposure_dollars="12") as oms:
        refused(oms, row(), row(), row(count=5))
        oms.submit([row(), row()], send=False)
        problem = refused(oms, row(count=5))
        assert "the exposure of EV-A would be $12.50; limits.max_market_exposure_dollars = $12.00" in str(problem)
        oms.submit([row(count=4), row(ticker="EV-B")], send=False)


def test_open_orders_are_counted(opened: Open) -> None:
    with opened(max_open_orders="2") as oms:
        oms.submit([row()], send=False)
        refused(oms, row(), row())
        oms.submit([row()], send=False)
        refused(oms, row())


def test_the_same_batch_again_is_not_held_against_a_limit_it_has_used_up(opened: Open) -> None:
    with opened(max_open_orders="1", duplicate_window_s="60") as oms:
        first = oms.submit([row()], batch="mine", send=False)
        again = oms.submit([row()], batch="mine", send=False)
        assert (first.recorded, again.recorded, again.preexisting) == (1, 0, 1)
        refused(oms, row(price="0.40"))


def test_the_same_order_twice_within_the_window_is_refused_in_one_file_too(opened: Open) -> None:
    with opened(duplicate_window_s="60") as oms:
        refused(oms, row(), row())
        oms.submit([row(), row(count=11)], send=False)
        assert "the same order was asked for" in str(refused(oms, row()))
        oms.submit([row(count=12)], send=False)


def test_after_a_loss_of_the_day_nothing_more_is_recorded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(max_daily_loss_dollars="5") as oms:
        oms.submit([row()], send=False)
        monkeypatch.setattr(exposure, "day", lambda ledger, now_us: exposure.Day(-5_000_001))
        assert "limits.max_daily_loss_dollars = $5.00" in str(refused(oms, row()))
        cut = row(reduce_only=True, time_in_force="immediate_or_cancel")
        assert oms.submit([cut], send=False).recorded == 1


def test_what_was_refused_may_be_retried_within_the_limits(opened: Open, tmp_path: Path) -> None:
    with opened() as oms:
        oms.submit([row(), row(count=20)], batch="b", send=False)
        oms.withdraw(batch="b")
    with opened(max_order_count="15") as oms, pytest.raises(LimitExceeded, match="its count is 20"):
        oms.retry("b")
    with opened() as oms:
        assert {order.status for order in oms.orders()} == {"unsent"}


def test_the_market_is_read_once_and_then_known_for_its_age(opened: Open, venue: Venue) -> None:
    venue.market("EV-A")
    venue.market("EV-B", status="inactive")
    with opened(check_market="true") as oms:
        oms.submit([row()], send=False)
        oms.submit([row(count=1)], send=False)
        assert venue.asked == ["EV-A"]
        assert "the market is inactive" in str(refused(oms, row(ticker="EV-B")))
        assert "the market is unknown to the exchange" in str(refused(oms, row(ticker="EV-C")))
        assert "off the market's grid" in str(refused(oms, row(price="0.505")))


def test_a_market_that_cannot_be_read_lets_nothing_be_recorded(opened: Open, venue: Venue) -> None:
    venue.fails = True
    with opened(check_market="true") as oms:
        with pytest.raises(ReadFailed):
            oms.submit([row()], send=False)
        assert recorded(oms) == 0


def test_prices_come_from_the_book_itself(opened: Open, venue: Venue) -> None:
    venue.market("EV-A", yes_ask_e6=900_000)  # a summary out of a cache
    venue.book("EV-A", 480_000, 520_000)
    with opened(price_collar_dollars="0.03") as oms:
        oms.submit([row(price="0.55")], send=False)
        assert "the price goes $0.04 through the best price of 0.5200" in str(refused(oms, row(price="0.56")))
    venue.market("EV-B")
    with opened(refuse_crossing="true") as oms:
        oms.submit([row(price="0.51"), row(ticker="EV-B", price="0.99")], send=False)
        refused(oms, row(price="0.52"))


def test_events_are_those_that_the_exchange_names(opened: Open, venue: Venue) -> None:
    venue.market("EV-A", event_ticker="OTHER")
    venue.market("XX-B", event_ticker="OTHER")
    with opened(check_market="true", max_event_exposure_dollars="9") as oms:
        problem = refused(oms, row(), row(ticker="XX-B"))
        assert "the exposure of OTHER would be $10.00" in str(problem)


def test_without_limits_nothing_is_asked(opened: Open, venue: Venue) -> None:
    venue.fails = True
    with opened(max_orders_per_s="1") as oms:
        oms.submit([row()] * 5, send=False)
        assert recorded(oms) == 5


def shown(oms: Oms) -> dict[tuple[str, str | None], tuple[str, str | None, str | None]]:
    return {(each.limit, each.of): (each.allowed, each.used, each.left) for each in oms.limits()}


def test_what_is_used_and_left_of_each_limit_is_shown(opened: Open) -> None:
    with opened(
        max_market_exposure_dollars="8",
        max_event_exposure_dollars="9.50",
        max_total_exposure_dollars="100",
        max_open_orders="5",
        max_orders_per_s="4",
        max_daily_loss_dollars="3",
        allow_tickers="EV-*,KX-*",
    ) as oms:
        assert shown(oms)["max_open_orders", None] == ("5", "0", "5")
        oms.submit([row(), row(ticker="EV-B", side="no", price="0.30"), row(ticker="KX-C", count=2)], send=False)
        found = shown(oms)
    assert found["max_order_count", None] == ("off", None, None)
    assert found["max_open_orders", None] == ("5", "3", "2")
    assert found["max_market_exposure_dollars", "EV-A"] == ("8.00", "5.00", "3.00")
    assert found["max_market_exposure_dollars", "EV-B"] == ("8.00", "3.00", "5.00")
    assert found["max_event_exposure_dollars", "EV"] == ("9.50", "8.00", "1.50")
    assert found["max_event_exposure_dollars", "KX"] == ("9.50", "1.00", "8.50")
    assert found["max_total_exposure_dollars", None] == ("100.00", "9.00", "91.00")
    assert found["max_orders_per_s", None] == ("4", "0", "4")
    assert found["max_daily_loss_dollars", None] == ("3.00", "0.00", "3.00")
    assert found["allow_tickers", None] == ("EV-*, KX-*", None, None)
    assert found["deny_tickers", None] == ("none", None, None)
    units = {each.limit: each.unit for each in oms.limits()}
    assert units["max_order_count"] == "contracts"


def test_limits_that_are_off_show_what_would_be_used_of_them(opened: Open) -> None:
    with opened() as oms:
        oms.submit([row(), row(ticker="EV-B", count=1)], send=False)
        found = shown(oms)
    assert found["max_market_exposure_dollars", "EV-A"] == ("off", "5.00", None)
    assert ("max_market_exposure_dollars", "EV-B") not in found
    assert found["max_open_orders", None] == ("off", "2", None)


def test_an_amend_is_judged_by_what_it_would_make_of_the_order(opened: Open) -> None:
    def amend(oms: Oms, **terms: int) -> None:
        ledger = oms._open(create=False)
        (order,) = oms.orders()
        entry = queries.entry_named(ledger, order.client_order_id)
        hold_change(oms.config, oms._memory, ledger, entry, Terms(**terms), oms._now_us())

    with opened(max_market_exposure_dollars="6") as oms:
        oms.submit([row()], send=False)
        amend(oms, price_e6=600_000)
        with pytest.raises(LimitExceeded, match=r"the exposure of EV-A would be \$6.10; .*; nothing was recorded"):
            amend(oms, price_e6=610_000)
        with pytest.raises(LimitExceeded, match=r"order .*: bid 12\.01 EV-A at 0\.5000"):
            amend(oms, count_e2=1201)
        amend(oms, reduce_to_e2=100)
    with opened(max_market_exposure_dollars="1", max_order_count="2", max_daily_loss_dollars="0") as oms:
        amend(oms, count_e2=900)  # still over the limit, and less than it was
        amend(oms, price_e6=490_000)
    with opened() as oms:
        amend(oms, count_e2=10**9)


def test_an_amend_needs_to_know_the_market_too(opened: Open, venue: Venue) -> None:
    with opened() as oms:
        oms.submit([row()], send=False)
    venue.market("EV-A")
    with opened(check_market="true") as oms:
        ledger = oms._open(create=False)
        (order,) = oms.orders()
        entry = queries.entry_named(ledger, order.client_order_id)
        with pytest.raises(LimitExceeded, match="off the market's grid"):
            hold_change(oms.config, oms._memory, ledger, entry, Terms(price_e6=505_000), oms._now_us())


def test_the_limits_of_a_run_read_its_markets_and_follow_what_moves(opened: Open, venue: Venue) -> None:
    with opened() as oms:
        oms.submit([row(), row(ticker="EV-B")], send=False)
    venue.market("EV-A")
    venue.market("EV-B", status="closed")
    with opened(check_market="true", max_open_orders="1") as oms:
        ledger = oms._open(create=False)
        venue.clock = SimpleNamespace(now_us=oms._now_us)
        told: list[int] = []
        ledger.on_moved = lambda entries: told.append(len(entries))
        limits = limiting(oms.config, ledger, cast(RealVenue, venue))
        assert limits is not None
        first, second = (queries.entry_named(ledger, order.client_order_id) for order in oms.orders(newest_first=False))
        assert limits.gate.judge(first, oms._now_us()) is False
        limits.read({"EV-B"})
        assert sorted(venue.asked) == ["EV-A", "EV-B"]
        assert limits.gate.judge(first, oms._now_us()) is True
        assert "the market is closed" in str(limits.gate.judge(second, oms._now_us()))
        ledger.on_moved([replace(first, command=replace(first.command, state=CommandState.IN_DOUBT))])
        assert told == [1]
        verdict = limits.gate.judge(replace(second, ticker="EV-A"), oms._now_us())
        assert "open orders would be 2" in str(verdict)
    with opened(max_orders_per_s="1") as oms:
        assert limiting(oms.config, oms._open(create=False), cast(RealVenue, venue)) is None


def test_an_amend_over_a_limit_is_not_recorded(opened: Open) -> None:
    with opened(max_order_count="12") as oms:
        oms.submit([row()], send=False)
        (order,) = oms.orders()
        before = len(oms.why(order.client_order_id).timeline)
        with pytest.raises(LimitExceeded, match=r"its count is 13\.00; limits\.max_order_count = 12\.00"):
            oms.amend(order.client_order_id, count="13")
        assert len(oms.why(order.client_order_id).timeline) == before
