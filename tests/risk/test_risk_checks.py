"""One order against the limits, by table: each limit at its value, and one unit above it."""

from typing import Any

import msgspec
import pytest

from oms.lifecycle.states import Side
from oms.risk.checks import Day, MarketFacts, Recent, Refusal, change_refusal, refusal
from oms.risk.limits import Limits, matches
from oms.risk.live import Held, Live, LiveOrder

NOW_US = 1_763_800_000_000_000
CENT = 10_000
DOLLAR = 1_000_000
BID, ASK = Side.BID, Side.ASK


def order(side: Side = BID, cents: int = 50, contracts: int = 10, **changes: Any) -> LiveOrder:
    given = {"ticker": "EV-A", "side": side, "price_e6": cents * CENT, "count_e2": contracts * 100}
    return LiveOrder(**{**given, **changes})


def market(**changes: Any) -> MarketFacts:
    given: dict[str, Any] = {
        "ticker": "EV-A",
        "event_ticker": "EV",
        "status": "active",
        "close_ts_ms": NOW_US // 1000 + 60_000,
        "grid": ((0, DOLLAR, CENT),),
        "yes_bid_e6": 48 * CENT,
        "yes_ask_e6": 52 * CENT,
        "read_at_us": NOW_US,
    }
    return MarketFacts(**{**given, **changes})


def met(
    limits: Limits,
    asked: LiveOrder,
    *,
    live: Live | None = None,
    facts: MarketFacts | None = None,
    recent: Recent | None = None,
    realized_e6: int = 0,
) -> Refusal | None:
    return refusal(
        limits,
        asked,
        live=live or Live(),
        market=facts,
        recent=recent or Recent(),
        day=Day(realized_e6),
        now_us=NOW_US,
    )


def name_of(found: Refusal | None) -> str | None:
    return None if found is None else found.limit


def resting(*orders: LiveOrder) -> Live:
    live = Live()
    for each in orders:
        live.add(each)
    return live


def test_without_limits_everything_passes() -> None:
    assert met(Limits(), order(contracts=10**9)) is None
    assert not Limits().is_any
    assert not Limits(max_orders_per_s=5, market_max_age_us=1).is_any
    assert Limits(deny_tickers=("X",)).is_any


# limits, order, whether it is refused under that name
TABLE: list[tuple[str, Limits, LiveOrder, bool]] = [
    ("max_order_count", Limits(max_order_count_e2=1000), order(), False),
    ("max_order_count", Limits(max_order_count_e2=999), order(), True),
    ("max_order_count", Limits(max_order_count_e2=0), order(count_e2=1), True),
    ("max_order_cost_dollars", Limits(max_order_cost_e6=5 * DOLLAR), order(), False),
    ("max_order_cost_dollars", Limits(max_order_cost_e6=5 * DOLLAR - 1), order(), True),
    ("max_order_cost_dollars", Limits(max_order_cost_e6=3 * DOLLAR), order(ASK, 70), False),
    ("max_order_cost_dollars", Limits(max_order_cost_e6=3 * DOLLAR - 1), order(ASK, 70), True),
    ("max_order_cost_dollars", Limits(max_order_cost_e6=0), order(price_e6=1, count_e2=1), True),
    ("allow_tickers", Limits(allow_tickers=("EV-B", "EV-*")), order(), False),
    ("allow_tickers", Limits(allow_tickers=("EV", "ev-a")), order(), True),
    ("deny_tickers", Limits(deny_tickers=("EV-B", "*B*")), order(), False),
    ("deny_tickers", Limits(deny_tickers=("EV-?", "EV-A")), order(), True),
    ("deny_tickers", Limits(deny_tickers=("*",), allow_tickers=("EV-A",)), order(), True),
    ("max_open_orders", Limits(max_open_orders=1), order(), False),
    ("max_open_orders", Limits(max_open_orders=0), order(), True),
    ("max_market_exposure_dollars", Limits(max_market_exposure_e6=5 * DOLLAR), order(), False),
    ("max_market_exposure_dollars", Limits(max_market_exposure_e6=5 * DOLLAR - 1), order(), True),
    ("max_event_exposure_dollars", Limits(max_event_exposure_e6=5 * DOLLAR), order(), False),
    ("max_event_exposure_dollars", Limits(max_event_exposure_e6=5 * DOLLAR - 1), order(), True),
    ("max_total_exposure_dollars", Limits(max_total_exposure_e6=5 * DOLLAR), order(), False),
    ("max_total_exposure_dollars", Limits(max_total_exposure_e6=5 * DOLLAR - 1), order(), True),
]


@pytest.mark.parametrize(("name", "limits", "asked", "is_refused"), TABLE)
@pytest.mark.fault(80)
def test_exactly_the_limit_passes_and_one_unit_more_does_not(
    name: str, limits: Limits, asked: LiveOrder, is_refused: bool
) -> None:
    assert name_of(met(limits, asked)) == (name if is_refused else None)


def test_a_refusal_names_order_limit_value_and_what_it_would_be() -> None:
    found = met(Limits(max_market_exposure_e6=6 * DOLLAR), order(), live=resting(order(contracts=4)))
    assert str(found) == (
        "bid 10.00 EV-A at 0.5000: the exposure of EV-A would be $7.00; limits.max_market_exposure_dollars = $6.00"
    )
    assert found is not None
    assert (found.limit, found.allowed, found.would_be, found.order) == (
        "max_market_exposure_dollars",
        "$6.00",
        "$7.00",
        order(),
    )


@pytest.mark.parametrize(
    ("limits", "refused_by"),
    [
        (Limits(max_market_exposure_e6=12 * DOLLAR), "max_market_exposure_dollars"),
        (Limits(max_market_exposure_e6=13 * DOLLAR), None),
        (Limits(max_event_exposure_e6=17 * DOLLAR), "max_event_exposure_dollars"),
        (Limits(max_event_exposure_e6=18 * DOLLAR), None),
        (Limits(max_total_exposure_e6=20 * DOLLAR), "max_total_exposure_dollars"),
        (Limits(max_total_exposure_e6=21 * DOLLAR), None),
        (Limits(max_open_orders=3), "max_open_orders"),
        (Limits(max_open_orders=4), None),
    ],
)
@pytest.mark.fault(80)
def test_what_is_live_is_summed_by_market_event_and_in_all(limits: Limits, refused_by: str | None) -> None:
    live = resting(order(contracts=4), order(ticker="EV-B"), order(ticker="OTHER-A", contracts=6))
    live.hold("EV-A", 0, Held(1000, 6 * DOLLAR * 100))  # ten bought at 0.60
    assert name_of(met(limits, order(contracts=10), live=live)) == refused_by


def test_what_closes_is_let_through_though_the_exposure_is_passed_already() -> None:
    live = Live()
    live.hold("EV-A", 0, Held(1000, 9 * DOLLAR * 100))
    limits = Limits(max_market_exposure_e6=DOLLAR, max_event_exposure_e6=DOLLAR, max_total_exposure_e6=DOLLAR)
    assert met(limits, order(ASK, contracts=10), live=live) is None
    assert name_of(met(limits, order(ASK, contracts=11), live=live)) == "max_market_exposure_dollars"
    assert name_of(met(limits, order(ASK, contracts=1, subaccount=3), live=live)) == "max_market_exposure_dollars"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"status": ""}, None),
        ({"status": "inactive"}, "the market is inactive"),
        ({"status": "finalized"}, "the market is finalized"),
        ({"close_ts_ms": NOW_US // 1000}, "the market closed at 2025-11-22T08:26:40.000000Z"),
        ({"close_ts_ms": None}, None),
        ({"close_ts_ms": NOW_US // 1000, "read_at_us": 0}, "the market closed at 2025-11-22T08:26:40.000000Z"),
        ({"grid": ((0, CENT * 10, 1000), (CENT * 10, DOLLAR, CENT * 25))}, "grid of 0.0010 from 0.0000 to 0.1000, "),
        ({"grid": ((0, DOLLAR, 0),)}, "grid of"),
        ({"grid": ((0, CENT, CENT), (CENT, DOLLAR, 7000))}, None),
        ({"grid": ()}, None),
        ({"read_at_us": NOW_US - 60_000_000}, None),
        ({"read_at_us": NOW_US - 60_000_001}, "the market was read 60.000001 s ago; limits.market_max_age_s = 60 s"),
    ],
)
def test_the_market_is_known_to_trade_at_that_price(changes: dict[str, Any], says: str | None) -> None:
    found = met(Limits(check_market=True), order(), facts=market(**changes))
    if says is None:
        assert found is None
    else:
        assert says in str(found)


@pytest.mark.parametrize("limits", [Limits(check_market=True), Limits(refuse_crossing=True), Limits(price_collar_e6=0)])
def test_a_market_that_was_never_read_or_long_ago_is_stale(limits: Limits) -> None:
    assert limits.needs_market
    for facts in (None, market(read_at_us=NOW_US - 60_000_001)):
        found = met(limits, order(), facts=facts)
        assert found is not None
        assert found.is_stale
        assert found.limit == "market_max_age_s"
    assert met(Limits(), order()) is None


# side, cents, best bid, best ask, collar in cents, refused?
COLLARS: list[tuple[Side, int, int | None, int | None, int, bool]] = [
    (BID, 55, 48, 52, 3, False),
    (BID, 56, 48, 52, 3, True),
    (BID, 1, 48, 52, 3, False),  # far from the market, and harmless
    (BID, 51, 48, None, 3, False),
    (BID, 52, 48, None, 3, True),
    (BID, 50, None, None, 99, True),
    (ASK, 45, 48, 52, 3, False),
    (ASK, 44, 48, 52, 3, True),
    (ASK, 99, 48, 52, 3, False),
    (ASK, 49, None, 52, 3, False),
    (ASK, 48, None, 52, 3, True),
    (ASK, 50, None, None, 99, True),
]


@pytest.mark.parametrize(("side", "cents", "bid", "ask", "collar", "is_refused"), COLLARS)
def test_a_price_goes_no_further_through_the_book_than_the_collar(
    side: Side, cents: int, bid: int | None, ask: int | None, collar: int, is_refused: bool
) -> None:
    facts = market(
        yes_bid_e6=None if bid is None else bid * CENT,
        yes_ask_e6=None if ask is None else ask * CENT,
    )
    found = met(Limits(price_collar_e6=collar * CENT), order(side, cents), facts=facts)
    assert name_of(found) == ("price_collar_dollars" if is_refused else None)


@pytest.mark.parametrize(
    ("side", "cents", "changes", "is_refused"),
    [
        (BID, 51, {}, False),
        (BID, 52, {}, True),
        (BID, 99, {"yes_ask_e6": None}, False),
        (ASK, 49, {}, False),
        (ASK, 48, {}, True),
        (ASK, 1, {"yes_bid_e6": None}, False),
    ],
)
def test_a_crossing_price_is_refused_where_that_is_asked(
    side: Side, cents: int, changes: dict[str, Any], is_refused: bool
) -> None:
    found = met(Limits(refuse_crossing=True), order(side, cents), facts=market(**changes))
    assert name_of(found) == ("refuse_crossing" if is_refused else None)


@pytest.mark.parametrize(
    ("other", "age_us", "is_refused"),
    [
        (order(), 0, True),
        (order(), -5, True),
        (order(), 9_999_999, True),
        (order(), 500_000, True),
        (order(), 10_000_000, False),
        (order(cents=51), 0, False),
        (order(ASK), 0, False),
        (order(contracts=11), 0, False),
        (order(ticker="EV-B"), 0, False),
        (order(subaccount=1), 0, False),
    ],
)
def test_the_same_order_again_within_the_window_is_refused(other: LiveOrder, age_us: int, is_refused: bool) -> None:
    recent = Recent()
    recent.note(other, NOW_US - age_us)
    recent.note(other, NOW_US - 50_000_000)  # an older one takes nothing back
    found = met(Limits(duplicate_window_us=10_000_000), order(), recent=recent)
    assert name_of(found) == ("duplicate_window_s" if is_refused else None)


@pytest.mark.parametrize(("realized_e6", "is_refused"), [(-DOLLAR, False), (-DOLLAR - 1, True), (DOLLAR, False)])
def test_after_todays_loss_no_order_is_sent(realized_e6: int, is_refused: bool) -> None:
    found = met(Limits(max_daily_loss_e6=DOLLAR), order(), realized_e6=realized_e6)
    assert name_of(found) == ("max_daily_loss_dollars" if is_refused else None)


# what is held (YES is positive), what is live (side, contracts), the order (side, contracts), whether it passes
CLOSING: list[tuple[int, list[tuple[Side, int]], tuple[Side, int], bool]] = [
    (10, [], (ASK, 10), True),
    (10, [], (ASK, 11), False),
    (10, [], (BID, 1), False),
    (-10, [], (BID, 10), True),
    (-10, [], (ASK, 1), False),
    (0, [], (ASK, 1), False),
    (10, [(ASK, 4)], (ASK, 6), True),
    (10, [(ASK, 4), (ASK, 1)], (ASK, 6), False),
    (10, [(BID, 50)], (ASK, 10), True),  # what may be bought yet can be closed by nobody before it is
    (10, [(BID, 50)], (ASK, 11), False),
    (-10, [(ASK, 50), (BID, 9)], (BID, 1), True),
]


@pytest.mark.parametrize(("held", "there", "asked", "passes"), CLOSING)
def test_after_todays_loss_what_can_only_close_is_sent(
    held: int, there: list[tuple[Side, int]], asked: tuple[Side, int], passes: bool
) -> None:
    live = resting(*(order(side, contracts=contracts) for side, contracts in there))
    live.hold("EV-A", 0, Held(held * 100, abs(held) * DOLLAR))
    wanted = order(asked[0], contracts=asked[1])
    limits = Limits(max_daily_loss_e6=DOLLAR)
    found = met(limits, wanted, live=live, realized_e6=-2 * DOLLAR)
    assert name_of(found) == (None if passes else "max_daily_loss_dollars")
    elsewhere = msgspec.structs.replace(wanted, subaccount=1)
    assert name_of(met(limits, elsewhere, live=live, realized_e6=-2 * DOLLAR)) == "max_daily_loss_dollars"


def test_after_todays_loss_an_order_that_the_exchange_cuts_to_the_position_is_sent() -> None:
    given: dict[str, Any] = {"live": Live(), "market": None, "recent": Recent(), "now_us": NOW_US}
    limits, day = Limits(max_daily_loss_e6=DOLLAR, max_order_count_e2=1000), Day(-2 * DOLLAR)
    assert refusal(limits, order(), day=day, reduce_only=True, **given) is None
    assert name_of(refusal(limits, order(), day=day, **given)) == "max_daily_loss_dollars"
    found = refusal(limits, order(contracts=11), day=day, reduce_only=True, **given)
    assert name_of(found) == "max_order_count"  # every other limit holds for it


def test_after_todays_loss_an_order_that_closes_may_be_made_larger_up_to_what_is_held() -> None:
    live = resting(order(ASK))
    live.hold("EV-A", 0, Held(1500, 5 * DOLLAR * 100))
    limits = Limits(max_daily_loss_e6=DOLLAR)
    for contracts, refused_by in ((15, None), (16, "max_daily_loss_dollars")):
        asked = order(ASK, 40, contracts)
        found = change_refusal(limits, order(ASK), asked, live=live, market=None, day=Day(-2 * DOLLAR), now_us=NOW_US)
        assert name_of(found) == refused_by


@pytest.mark.parametrize(
    ("pattern", "ticker", "is_match"),
    [
        ("KXHIGH*", "KXHIGHNY-26NOV23-T70", True),
        ("KXHIGH*", "XKXHIGHNY", False),
        ("*-T70", "KXHIGHNY-26NOV23-T70", True),
        ("A.B", "AxB", False),
        ("A.B", "A.B", True),
        ("*", "", True),
        ("", "", True),
        ("", "A", False),
        ("A*C*E", "ABCDE", True),
        ("A*C*E", "ABDE", False),
    ],
)
def test_only_a_star_in_a_pattern_means_more_than_itself(pattern: str, ticker: str, is_match: bool) -> None:
    assert matches(pattern, ticker) is is_match


# what an order was and is asked to be (side, cents, contracts), limits, the limit that refuses
CHANGES: list[tuple[tuple[Side, int, int], tuple[Side, int, int], Limits, str | None]] = [
    ((BID, 50, 10), (BID, 60, 10), Limits(max_market_exposure_e6=6 * DOLLAR), None),
    ((BID, 50, 10), (BID, 61, 10), Limits(max_market_exposure_e6=6 * DOLLAR), "max_market_exposure_dollars"),
    ((ASK, 50, 10), (ASK, 39, 10), Limits(max_market_exposure_e6=6 * DOLLAR), "max_market_exposure_dollars"),
    ((ASK, 50, 10), (ASK, 61, 10), Limits(max_market_exposure_e6=1 * DOLLAR), None),
    ((BID, 50, 10), (BID, 50, 11), Limits(max_order_count_e2=1000), "max_order_count"),
    ((BID, 50, 10), (BID, 40, 11), Limits(max_order_count_e2=1000), "max_order_count"),
    ((BID, 50, 10), (BID, 50, 9), Limits(max_order_count_e2=500), None),
    ((BID, 50, 10), (BID, 51, 9), Limits(max_order_cost_e6=4 * DOLLAR), None),
    ((BID, 50, 10), (BID, 60, 10), Limits(max_open_orders=1), None),
    ((BID, 50, 10), (BID, 60, 10), Limits(max_daily_loss_e6=0), "max_daily_loss_dollars"),
    ((BID, 50, 10), (BID, 40, 10), Limits(max_daily_loss_e6=0), None),
    ((BID, 50, 10), (BID, 40, 10), Limits(deny_tickers=("*",)), "deny_tickers"),
    ((BID, 50, 10), (BID, 40, 10), Limits(check_market=True), "market_max_age_s"),
]


@pytest.mark.parametrize(("was", "asked", "limits", "refused_by"), CHANGES)
def test_a_change_is_judged_by_what_it_makes_worse(
    was: tuple[Side, int, int], asked: tuple[Side, int, int], limits: Limits, refused_by: str | None
) -> None:
    live = resting(order(*was))
    before_e8 = live.total_e8
    now, then = order(*was), order(*asked)
    found = change_refusal(limits, now, then, live=live, market=None, day=Day(-1), now_us=NOW_US)
    assert name_of(found) == refused_by
    assert (live.total_e8, live.open_orders) == (before_e8, 1)


def test_a_change_of_what_is_not_counted_is_judged_like_a_new_order() -> None:
    limits = Limits(max_order_count_e2=500)
    found = change_refusal(limits, None, order(), live=Live(), market=None, day=Day(), now_us=NOW_US)
    assert name_of(found) == "max_order_count"
