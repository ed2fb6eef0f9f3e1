"""The worked example of docs/money.md, computed."""

import re
from pathlib import Path

import pytest

from oms.money.positions import Position
from oms.units import format_count, format_dollars, format_dollars_e8, parse_count, parse_dollars

PAGE = Path(__file__).resolve().parents[2] / "docs" / "money.md"


def example() -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").partition("<!-- example -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def take(position: Position, step: str) -> None:
    settles = re.fullmatch(r"settles at ([\d.]+)", step)
    if settles is not None:
        position.settle(parse_dollars(settles[1]))
        return
    trade = re.fullmatch(r"(buy|sell) ([\d.]+) at ([\d.]+), fee ([\d.]+)", step)
    assert trade is not None, step
    count_e2 = parse_count(trade[2]) * (1 if trade[1] == "buy" else -1)
    position.trade(count_e2, parse_dollars(trade[3]), parse_dollars(trade[4]))


def shown(position: Position) -> list[str]:
    average = position.average_price_e6
    return [
        format_count(position.position_e2),
        "-" if average is None else format_dollars(average),
        format_dollars_e8(position.cost_e8),
        format_dollars_e8(position.realized_e8),
        format_dollars(position.fees_e6),
        format_dollars_e8(position.cash_e8 - 100 * position.fees_e6),
    ]


def test_the_worked_example_is_what_the_books_make_of_it() -> None:
    rows = example()
    assert len(rows) == 5
    position = Position()
    for step, *told in rows:
        take(position, step)
        assert shown(position) == told, step


def test_what_the_page_says_of_the_fourth_step() -> None:
    position = Position()
    for step, *_ in example()[:4]:
        take(position, step)
    assert format_dollars_e8(position.unrealized_e8(480_000)) == "-0.1500"


@pytest.mark.parametrize("step", ["buy ten at 0.4, fee 0", "hold"])
def test_a_step_that_cannot_be_read_is_no_step(step: str) -> None:
    with pytest.raises(AssertionError):
        take(Position(), step)
