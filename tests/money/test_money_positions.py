"""One position: average cost, both legs, through zero, settled, and never a rounded figure carried on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.money.positions import Position, Settled, rounded
from tests.money.flows import Plain, counts, prices


def after(*moves: tuple[int, int]) -> Position:
    position = Position()
    for signed_e2, price_e6 in moves:
        position.trade(signed_e2, price_e6, 100)
    return position


def test_buying_twice_averages_and_selling_takes_out_its_share() -> None:
    position = after((1_000, 400_000), (500, 700_000))
    assert (position.position_e2, position.average_price_e6, position.cost_e8) == (1_500, 500_000, 750_000_000)
    position.trade(-300, 600_000)
    assert (position.average_price_e6, position.realized_e8) == (500_000, 300 * 100_000)
    assert position.fees_e6 == 200
    assert position.unrealized_e8(550_000) == 1_200 * 50_000


def test_no_contracts_are_yes_sold_with_a_dollar_of_collateral() -> None:
    position = after((-1_000, 400_000))
    assert position.cost_e8 == 1_000 * 600_000
    assert position.cash_e8 == -1_000 * 600_000, "as the exchange takes it"
    assert position.average_price_e6 == 400_000
    position.trade(400, 300_000)
    assert position.realized_e8 == 400 * 100_000
    assert position.cash_e8 == -1_000 * 600_000 + 400 * 700_000, "a closed pair pays a dollar, less the price"


def test_a_fill_through_zero_closes_at_its_price_and_opens_at_its_price() -> None:
    position = after((300, 400_000), (-500, 450_000))
    assert (position.position_e2, position.average_price_e6) == (-200, 450_000)
    assert position.realized_e8 == 300 * 50_000


@pytest.mark.parametrize(("held", "payout", "realized"), [(500, 1_000_000, 300_000_000), (500, 0, -200_000_000)])
def test_settlement_closes_at_its_value(held: int, payout: int, realized: int) -> None:
    long, short = after((held, 400_000)), after((-held, 400_000))
    long.settle(payout)
    short.settle(payout)
    assert (long.position_e2, long.realized_e8) == (0, realized)
    assert (short.position_e2, short.realized_e8) == (0, -realized)
    assert long.fills == 1, "a settlement is no fill"


def test_the_average_is_shown_to_the_nearest_and_a_third_of_a_cent_is_not_lost() -> None:
    position = after((100, 100_000), (200, 200_000))
    assert position.average_price_e6 == 166_667
    position.trade(-100, 500_000)
    position.trade(-100, 500_000)
    position.trade(-100, 500_000)
    assert position.realized_e8 == 300 * 500_000 - 100 * 100_000 - 200 * 200_000


@pytest.mark.parametrize(
    ("numerator", "denominator", "nearest"), [(7, 2, 4), (5, 2, 2), (-5, 2, -2), (5, -2, -2), (-7, -3, 2), (8, 3, 3)]
)
def test_rounding_is_to_the_nearest_a_half_to_the_even_one(numerator: int, denominator: int, nearest: int) -> None:
    assert rounded(numerator, denominator) == nearest


@pytest.mark.parametrize(
    ("yes", "no", "value", "revenue", "payout"),
    [
        (300, 0, 1_000_000, 3_000_000, 1_000_000),
        (300, 0, None, 3_000_000, 1_000_000),
        (300, 0, None, 1_050_000, 350_000),
        (0, 300, None, 1_950_000, 350_000),
        (300, 100, None, 1_000_000, None),
        (0, 0, None, 0, None),
    ],
)
def test_a_payout_that_is_not_told_follows_from_a_one_sided_revenue(
    yes: int, no: int, value: int | None, revenue: int, payout: int | None
) -> None:
    assert Settled("T", 0, 0, value, yes, no, revenue).payout_e6 == payout


moves = st.lists(st.tuples(counts, prices), max_size=30)


@given(moves)
def test_realized_and_open_basis_are_the_cash_to_the_last_digit(trades: list[tuple[int, int]]) -> None:
    position = after(*trades)
    assert position.position_e2 == sum(signed for signed, _ in trades)
    flow = -sum(signed * price for signed, price in trades)
    assert position.realized_e8 - position.basis_e8 == flow
    collateral = max(0, -position.position_e2) * 1_000_000
    assert position.cash_e8 == flow - collateral
    assert position.cost_e8 >= 0


@given(moves)
def test_it_is_the_average_cost_of_a_textbook(trades: list[tuple[int, int]]) -> None:
    position, plain = Position(), Plain()
    for signed, price in trades:
        position.trade(signed, price)
        plain.trade(signed, price)
    # Each turn from closing to opening rounds once, by half of 10^-8 dollar at most.
    assert abs(position.realized_e8 - plain.realized) <= len(trades)
    if plain.count:
        assert abs(position.basis_e8 - plain.average * plain.count) <= len(trades)
    else:
        assert position.realized_e8 == plain.realized


@given(moves, st.data())
def test_a_fill_split_in_two_changes_nothing(trades: list[tuple[int, int]], data: st.DataObject) -> None:
    whole, parts = Position(), Position()
    for signed, price in trades:
        whole.trade(signed, price)
        first = data.draw(st.integers(0, abs(signed))) * (1 if signed > 0 else -1)
        for part in (first, signed - first):
            if part:
                parts.trade(part, price)
    assert (parts.position_e2, parts.basis_e8, parts.realized_e8) == (
        whole.position_e2,
        whole.basis_e8,
        whole.realized_e8,
    )


@given(moves)
def test_a_mirrored_position_has_the_mirrored_profit(trades: list[tuple[int, int]]) -> None:
    long, short = after(*trades), after(*((-signed, 1_000_000 - price) for signed, price in trades))
    assert (short.position_e2, short.realized_e8) == (-long.position_e2, long.realized_e8)
    assert short.cash_e8 == long.cash_e8
    assert short.cost_e8 == long.cost_e8


@given(moves, st.integers(0, 1_000_000))
def test_realized_and_unrealized_at_the_settlement_value_are_the_cash(
    trades: list[tuple[int, int]], value_e6: int
) -> None:
    position = after(*trades)
    expected = position.realized_e8 + position.unrealized_e8(value_e6)
    position.settle(value_e6)
    assert position.realized_e8 == expected == position.cash_e8
    assert (position.position_e2, position.basis_e8) == (0, 0)
