"""Settlements as they are told: exact, tolerant of what is new, refused where they cannot be read."""

import json
from typing import Any

import pytest

from oms.venue.settlements import Settlement, read_settlement
from oms.venue.wire import Unreadable, parse

TOLD = {
    "ticker": "KX-T",
    "exchange_index": 0,
    "event_ticker": "KX",
    "market_result": "yes",
    "yes_count_fp": "3.33",
    "yes_total_cost_dollars": "1.864800",
    "no_count_fp": "0.00",
    "no_total_cost_dollars": "0.000000",
    "revenue": 333,
    "settled_time": "2026-06-11T06:29:20.866753Z",
    "fee_cost": "0.0575",
    "value": 100,
    "something_new": {"a": 1},
}


def read(**changes: Any) -> Settlement:
    item = {name: value for name, value in {**TOLD, **changes}.items() if value != "absent"}
    return read_settlement(parse(json.dumps(item).encode()))


def test_a_settlement_is_read_exactly() -> None:
    assert read() == Settlement(
        ticker="KX-T",
        event_ticker="KX",
        result="yes",
        yes_count_e2=333,
        yes_cost_e6=1_864_800,
        no_count_e2=0,
        no_cost_e6=0,
        value_e6=1_000_000,
        revenue_e6=3_330_000,
        fee_e6=57_500,
        settled_ts_ms=1_781_159_360_866,
    )


@pytest.mark.parametrize(
    ("result", "value", "payout"),
    [("yes", None, 1_000_000), ("no", None, 0), ("no", 100, 0), ("scalar", 37, 370_000), ("scalar", "absent", None)],
)
def test_what_a_contract_paid(result: str, value: Any, payout: int | None) -> None:
    assert read(market_result=result, value=value).value_e6 == payout


def test_what_may_be_missing_is_nothing() -> None:
    found = read(event_ticker=None, fee_cost="absent", yes_total_cost_dollars=None)
    assert (found.event_ticker, found.fee_e6, found.yes_cost_e6) == ("", 0, 0)
    assert read(revenue="12.5").revenue_e6 == 125_000


@pytest.mark.parametrize(
    "changes",
    [
        {"ticker": ""},
        {"market_result": None},
        {"yes_count_fp": None},
        {"no_count_fp": "-1.00"},
        {"revenue": None},
        {"revenue": 1.234567},
        {"settled_time": "yesterday"},
        {"market_result": "scalar", "value": 101},
    ],
)
def test_what_must_be_there_and_is_not_makes_it_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read(**changes)
