"""Our books against the exchange's figures: what agrees, what differs, what is not known."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.money.books import Market, keep
from oms.money.positions import Trade
from oms.money.ties import (
    BalanceTie,
    Moved,
    Ours,
    Reading,
    Seen,
    Sighting,
    hold_e6,
    revenue_gap_e8,
    tie_balances,
    tie_positions,
    tie_standings,
    weigh,
)
from tests.money.flows import TICKERS, settled, trades

BUY = Trade("A", 0, 1_000, 400_000, 17_000, 10)
SELL = Trade("A", 0, -400, 450_000, 7_000, 20)


def test_positions_agree_differ_or_are_not_shown() -> None:
    books = keep([BUY, SELL, BUY._replace(ticker="B", ts_ms=30)])
    seen = {Market("A", 0): Seen(600, 200_000, 24_000), Market("Z", 1): Seen(5, 0, 0)}
    ties = {tie.market: tie for tie in tie_positions(books, seen)}
    a, b, z = ties[Market("A", 0)], ties[Market("B", 0)], ties[Market("Z", 1)]
    assert (a.agrees, a.fees_gap_e6, a.realized_gap_e8) == (True, 0, 0)
    assert (b.agrees, b.fees_gap_e6, b.realized_gap_e8) == (None, None, None), "not shown is no proof of nothing"
    assert (z.agrees, z.ours.position_e2, z.fees_gap_e6) == (False, 0, 0)
    assert [tie.agrees for tie in tie_positions(books, {Market("A", 0): Seen(601, 200_000, 24_500)})] == [False, None]


def test_a_closed_position_need_not_be_shown() -> None:
    books = keep([BUY], [settled("A", 0, 30, 1_000_000)])
    assert [tie.agrees for tie in tie_positions(books, {})] == [True]


@pytest.mark.parametrize(("shown", "agrees"), [(1_000, True), (600, True), (0, False)])
def test_a_reading_older_than_the_newest_fills_may_show_any_count_since(shown: int, agrees: bool) -> None:
    books = keep([BUY, SELL], watch_ms={Market("A", 0): 15})
    (tie,) = tie_positions(books, {Market("A", 0): Seen(shown, 0, 0)})
    assert tie.agrees is agrees


@pytest.mark.parametrize(("read_ms", "agrees"), [(25, True), (35, False)])
def test_each_position_is_held_against_its_own_reading(read_ms: int, agrees: bool) -> None:
    """Subaccounts are read less often: another one's reading may be younger than this one's settlement."""
    books = keep([BUY], [settled("A", 0, 30, 1_000_000)], watch_ms={Market("A", 0): read_ms, Market("B", 1): 1_000})
    (tie,) = tie_positions(books, {Market("A", 0): Seen(BUY[2], 0, 0)})
    assert tie.agrees is agrees


# -- whether a position is proven not to tie out ----------------------------------------------------------------------

HORIZON = 100
# what was shown (count, from, until), what was noted of it before, our trades (total, newest), what is kept of it
WEIGHED: list[tuple[Sighting, Sighting | None, Ours, Sighting | None]] = [
    (Sighting(5, 1_000, 1_010), None, Ours(5), None),
    (Sighting(5, 1_000, 1_010), None, Ours(7), Sighting(5, 1_000, 1_010)),
    (Sighting(5, 1_000, 1_010), None, Ours(7, [(900, 2)]), Sighting(5, 1_000, 1_010)),  # a horizon before it, no more
    (Sighting(5, 1_000, 1_010), None, Ours(7, [(901, 2)]), None),
    (Sighting(5, 1_000, 1_010), None, Ours(7, [(950, 1), (1_500, 1)]), None),
    (Sighting(5, 1_109, 1_120), Sighting(5, 1_000, 1_010), Ours(7), Sighting(5, 1_000, 1_010)),  # too early to tell
    (Sighting(5, 1_110, 1_120), Sighting(5, 1_000, 1_010), Ours(7), Sighting(5, 1_110, 1_120, is_proven=True)),
    # What was shown then turns out to have been right, and what is shown now may be too.
    (Sighting(9, 1_500, 1_510), Sighting(5, 1_000, 1_010), Ours(7, [(1_005, 2)]), Sighting(9, 1_500, 1_510)),
    # It never was, and goes on not to be while other trades come in.
    (Sighting(6, 1_500, 1_510), Sighting(5, 1_000, 1_010), Ours(8, [(1_300, 1)]), Sighting(6, 1_500, 1_510, True)),
    (Sighting(6, 1_501, 1_510), Sighting(5, 1_500, 1_500, True), Ours(8), Sighting(6, 1_501, 1_510, True)),
    (Sighting(8, 1_501, 1_510), Sighting(5, 1_500, 1_500, True), Ours(8), None),
]


@pytest.mark.parametrize(("seen", "before", "ours", "kept"), WEIGHED)
def test_a_position_is_proven_wrong_by_a_later_reading_that_knows_all_the_earlier_can_have_had(
    seen: Sighting, before: Sighting | None, ours: Ours, kept: Sighting | None
) -> None:
    assert weigh(seen, before, ours, HORIZON) == kept


passes = st.tuples(
    st.integers(0, 300),  # since the pass before
    st.integers(0, 250),  # by which its data are older than the moment it begins
    st.integers(0, 99),  # by which a position is older than the exchange says of its data: less than a horizon
    st.integers(0, 200),  # from the beginning until the position is read
    st.integers(0, 60),  # by which the list of trades is newer than its data have to be
)


@settings(max_examples=1_000)
@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 3)), max_size=12),
    st.lists(passes, min_size=2, max_size=6),
)
def test_reads_that_lag_and_race_with_trades_are_never_proven_wrong(
    made: list[tuple[int, int]], readings: list[tuple[int, int, int, int, int]]
) -> None:
    """Whatever each reading happens to show, as long as trades are known up to the instant of its data."""
    made = sorted(made)
    before: Sighting | None = None
    now, as_of = 250, 0
    for waited, age, lag, took, more in readings:
        now += waited
        as_of = max(as_of, now - age)
        shown_at = max(as_of - lag, now + took - lag) if took % 2 else as_of - lag
        now += took
        seen = Sighting(sum(count for ms, count in made if ms <= shown_at), as_of, now)
        known = [trade for trade in made if trade[0] <= as_of + more]
        before = weigh(seen, before, Ours(sum(count for _, count in known), known), HORIZON)
        assert before is None or not before.is_proven


@given(st.lists(st.integers(-3, 3).filter(bool), max_size=8), st.integers(1, 5), st.integers(HORIZON, 3 * HORIZON))
def test_a_trade_that_is_never_shown_is_proven_after_two_readings(counts: list[int], lost: int, apart: int) -> None:
    known = [(10 * (place + 1), count) for place, count in enumerate(counts)]
    ours = Ours(sum(counts), known)
    first, second = Sighting(sum(counts) + lost, 1_000, 1_000), Sighting(sum(counts) + lost, 1_000 + apart, 1_400)
    before = weigh(first, None, ours, HORIZON)
    assert before == first
    found = weigh(second, before, ours, HORIZON)
    assert found is not None
    assert found.is_proven


def test_a_settlement_pays_what_our_position_was_worth_or_the_difference_is_told() -> None:
    paid = settled("A", 0, 30, 1_000_000)._replace(yes_count_e2=600, revenue_e6=6_000_000)
    (right,) = keep([BUY, SELL], [paid]).closings
    (more,) = keep([BUY, SELL], [paid._replace(yes_count_e2=700, revenue_e6=7_000_000)]).closings
    (none,) = keep([BUY], [paid._replace(value_e6=None, no_count_e2=5)]).closings
    assert [revenue_gap_e8(closing) for closing in (right, more, none)] == [0, 100_000_000, None]


# -- balances -------------------------------------------------------------------------------------------------------


def tie(*, moved: int, expected: int = 0, held: tuple[int, int] = (0, 0)) -> BalanceTie:
    """A tie over dollars x 10^6."""
    return BalanceTie(Reading(0, 0, 0, held[0]), Reading(0, 9, moved, held[1]), 100 * expected, 0, 0)


@pytest.mark.parametrize(
    ("given", "unexplained_e6"),
    [
        (tie(moved=500, expected=500), 0),
        (tie(moved=500, expected=200), 300),
        (tie(moved=-500, expected=-100), -400),
        (tie(moved=-500, held=(0, 500)), 0),
        (tie(moved=-500, held=(0, 700)), 0),
        (tie(moved=0, held=(0, 700)), 0),
        (tie(moved=-900, held=(0, 700)), -200),
        (tie(moved=100, held=(0, 700)), 100),
        (tie(moved=700, held=(700, 0)), 0),
        (tie(moved=-1, held=(700, 0)), -1),
        (tie(moved=300, held=(700, 500)), 0),
        (tie(moved=-600, held=(700, 500)), -100),
        (tie(moved=800, held=(700, 500)), 100),
    ],
)
def test_resting_orders_may_hold_back_all_part_or_nothing(given: BalanceTie, unexplained_e6: int) -> None:
    assert given.unexplained_e8 == 100 * unexplained_e6


def test_less_than_a_step_of_the_balance_is_how_it_is_told() -> None:
    assert tie(moved=99).is_explained
    assert not tie(moved=100).is_explained


def test_what_came_and_went_is_explained_and_its_fee_either_way() -> None:
    paid_in = Moved(0, 3, "deposit", 9_750_000, 250_000)  # 10 dollars, of which a quarter is a fee
    for balance_e6, unexplained_e6 in ((9_750_000, 0), (10_000_000, 0), (10_100_000, 100_000), (9_700_000, -50_000)):
        (found,) = tie_balances([], [], [Reading(0, 2_000, 0), Reading(0, 4_000, balance_e6)], [paid_in])
        assert (found.moved_by, found.charges_e6) == ({"deposit": 9_750_000}, 250_000)
        assert found.unexplained_e8 == 100 * unexplained_e6


def test_money_that_moved_is_between_the_readings_whose_balances_changed_before_and_after() -> None:
    """The exchange says in which second a balance changed last: its reading has nothing that moved after that."""
    moved = [Moved(0, 5, "withdrawal", -1_000_000), Moved(1, 5, "transfer", 7_000_000)]
    early, late = Reading(0, 6_900, 3_000_000, 0, 4), Reading(0, 6_950, 2_000_000, 0, 5)
    (found,) = tie_balances([], [], [early, late], moved)
    assert (found.moved_by, found.unexplained_e8) == ({"withdrawal": -1_000_000}, 0)
    (untold,) = tie_balances([], [], [early._replace(updated_ts=None), late._replace(updated_ts=None)], moved)
    assert (untold.moved_by, untold.unexplained_e8) == ({}, -(10**8))
    (sure,) = tie_balances([], [], [early, late._replace(updated_ts=6, balance_e6=3_000_000)], moved)
    assert (sure.moved_by, sure.unexplained_e8) == ({"withdrawal": -1_000_000}, 10**8)


def test_money_that_moved_in_the_second_of_the_last_change_is_in_a_reading_made_after_that_second() -> None:
    """Even where counting it leaves more to be explained: only the reading's own second leaves a choice."""
    moved = [Moved(0, 58, "deposit", 10_000_000), Moved(0, 58, "withdrawal", -3_000_000)]
    early, late = Reading(0, 26_859, 0, 0, 26), Reading(0, 59_297, 1_000_000_000, 0, 58)
    (found,) = tie_balances([], [], [early, late], moved)
    assert found.moved_by == {"deposit": 10_000_000, "withdrawal": -3_000_000}
    assert found.unexplained_e8 == 100 * (1_000_000_000 - 7_000_000)
    (after,) = tie_balances([], [], [late, Reading(0, 90_000, 1_000_000_000, 0, 58)], moved)
    assert (after.moved_by, after.unexplained_e8) == ({}, 0)


@pytest.mark.parametrize("balances", [(0, 0, 7), (0, 7, 7), (7, 7, 7)])
def test_money_that_moved_in_the_second_of_a_reading_is_taken_once_where_it_explains(balances: tuple[int, ...]) -> None:
    moved = [Moved(0, 5, "deposit", 7)]
    readings = [Reading(0, 5_000 + place, 100 * each, 0, 5) for place, each in enumerate(balances)]
    scaled = [each._replace(amount_e6=100 * each.amount_e6) for each in moved]
    found = tie_balances([], [], readings, scaled)
    assert [tie.unexplained_e8 for tie in found] == [0, 0]
    assert sum(sum(tie.moved_by.values()) for tie in found) == (0 if balances[0] else 700)


def test_ties_from_an_instant_on_need_what_was_held_then() -> None:
    settle = settled("A", 0, 30, 1_000_000)
    readings = [Reading(0, 15, 0), Reading(0, 40, 0)]
    (whole,) = tie_balances([BUY, SELL], [settle], readings)
    (part,) = tie_balances([SELL], [settle], readings, held={Market("A", 0): 1_000, Market("A", 1): 5})
    assert part == whole
    assert part.settlements_e8 == 600_000_000


def test_what_nothing_explains_is_told() -> None:
    readings = [Reading(0, 5, 50_000_000), Reading(0, 25, 50_000_000 - 4_000_000 - 17_000 + 1_800_000 - 7_000 + 10**7)]
    (found,) = tie_balances([BUY, SELL], [], readings)
    assert (found.trades_e8, found.fees_e6, found.settlements_e8) == (-220_000_000, 24_000, 0)
    assert found.unexplained_e8 == 10**9
    assert not found.is_explained


def test_a_reading_is_true_of_the_end_of_its_millisecond_and_each_subaccount_is_its_own() -> None:
    readings = [Reading(0, 10, 0), Reading(1, 10, 0), Reading(0, 20, 0), Reading(1, 30, 0)]
    other = SELL._replace(subaccount=1)
    payments = [settled("A", 1, 20, 0), settled("A", 0, 21, 0)]
    ties = tie_balances([BUY, other], payments, readings)
    told = [(t.later.subaccount, t.trades_e8, t.fees_e6, t.settlements_e8) for t in ties]
    # Sold to open costs a dollar less the price; a dollar comes back for each when YES pays nothing.
    assert told == [(0, 0, 0, 0), (1, -400 * 550_000, 7_000, 400 * 1_000_000)]


@given(trades(), st.lists(st.integers(0, 3_000_000_000), max_size=5), st.integers(0, 1_000_000))
def test_the_balance_of_an_account_that_only_trades_is_explained_between_any_two_readings(
    flow: list[Trade], instants: list[int], value_e6: int
) -> None:
    payments = [settled(ticker, of, 2_000_000_000, value_e6) for ticker in TICKERS for of in (0, 1)]
    readings = [Reading(of, at, 0) for of in (0, 1) for at in sorted({0, *instants, 10**13})]
    full = []
    for reading in readings:
        books = keep(
            [t for t in flow if t.ts_ms <= reading.as_of_ms and t.subaccount == reading.subaccount],
            [p for p in payments if p.ts_ms <= reading.as_of_ms],
        )
        cash_e8 = sum(p.cash_e8 - 100 * p.fees_e6 for p in books.positions.values())
        full.append((reading, cash_e8))
    ties = tie_balances(flow, payments, [reading for reading, _ in full])
    books = keep(flow, payments, instants={reading.as_of_ms for reading in readings})
    pairs = [(earlier, later) for earlier, later in pairwise(readings) if earlier.subaccount == later.subaccount]
    by_instant = {(tie.later.subaccount, tie.later.as_of_ms): tie for tie in tie_standings(books, pairs)}
    assert by_instant == {(tie.later.subaccount, tie.later.as_of_ms): tie for tie in ties}
    truth = {(reading.subaccount, reading.as_of_ms): cash for reading, cash in full}
    assert len(ties) == len(readings) - 2
    for found in ties:
        before = truth[found.earlier.subaccount, found.earlier.as_of_ms]
        assert found.expected_e8 == truth[found.later.subaccount, found.later.as_of_ms] - before


@pytest.mark.parametrize(
    ("side", "price", "count", "held"),
    [("bid", 10_000, 100, 10_700), ("ask", 10_000, 100, 990_700), ("bid", 560_000, 333, 1_864_800 + 57_500)],
)
def test_what_a_resting_order_may_hold_back(side: str, price: int, count: int, held: int) -> None:
    assert hold_e6(side, price, count) == held
