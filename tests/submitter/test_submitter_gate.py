"""Limits at the claim, on real ledgers: what may be sent, what waits for its market, what is withdrawn and why."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from oms.ledger import exposure
from oms.ledger.changes import Change, record_change
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry, entry_of
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState, OrderStatus, Reason
from oms.risk.checks import Day, MarketFacts
from oms.risk.limits import Limits
from oms.risk.live import Held
from oms.submitter.gate import Gate
from tests.ledger.ledgers import NOW_US, acknowledged, claimed, entries, recorded, running, tell

DOLLAR = 1_000_000
# The orders of `recorded`, in cents that each can lose: odd rows bid, even rows ask.
FIRST, SECOND, THIRD = 4, 291, 16


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = running(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def gate(ledger: Ledger, day: Day = Day(), **limits: Any) -> Gate:  # noqa: B008 - frozen
    return Gate(Limits(**limits), exposure.load(ledger, queued=False), day)


def facts(ticker: str, **changes: Any) -> MarketFacts:
    given: dict[str, Any] = {
        "ticker": ticker,
        "event_ticker": "T",
        "status": "active",
        "close_ts_ms": None,
        "grid": (),
        "yes_bid_e6": None,
        "yes_ask_e6": None,
        "read_at_us": NOW_US,
    }
    return MarketFacts(**{**given, **changes})


def claims(judge: Gate, candidates: list[Entry]) -> list[bool | e.Withdrawn]:
    """Judge as the desk does: what may go is claimed before the next is judged."""
    verdicts = []
    for entry in candidates:
        verdict = judge.judge(entry, NOW_US)
        if verdict is True:
            judge.claimed(entry)
        verdicts.append(verdict)
    return verdicts


def test_without_limits_everything_may_be_sent(ledger: Ledger) -> None:
    recorded(ledger, 3)
    assert claims(gate(ledger), entries(ledger, 3)) == [True] * 3


def test_each_claim_counts_for_the_next_of_the_same_turn(ledger: Ledger) -> None:
    recorded(ledger, 3)
    assert FIRST + SECOND + THIRD == 311
    verdicts = claims(gate(ledger, max_total_exposure_e6=20 * 10_000), entries(ledger, 3))
    assert verdicts[0] is True
    assert isinstance(verdicts[1], e.Withdrawn)
    assert verdicts[2] is True
    assert claims(gate(ledger, max_open_orders=2), entries(ledger, 3))[:2] == [True, True]


def test_what_is_refused_ends_with_the_limit_as_its_reason(ledger: Ledger) -> None:
    recorded(ledger, 2)
    second = entries(ledger, 2)[1]
    verdict = gate(ledger, max_order_cost_e6=DOLLAR).judge(second, NOW_US)
    assert isinstance(verdict, e.Withdrawn)
    assert verdict.reason is Reason.LIMIT
    assert verdict.detail is not None
    assert "it can cost $2.91; limits.max_order_cost_dollars = $1.00" in verdict.detail
    (after,) = tell(ledger, [(second, verdict)]).values()
    assert (after.order.status, after.order.reason) == (OrderStatus.UNSENT, Reason.LIMIT)
    assert after.command.state is CommandState.WITHDRAWN


def test_what_is_in_doubt_counts_in_full_and_may_be_sent_again(ledger: Ledger) -> None:
    recorded(ledger, 2)
    first, second = entries(ledger, 2)
    tell(ledger, [(first, claimed(first))])
    first, second = entries(ledger, 2)
    tell(ledger, [(first, e.AttemptUnknown(attempt=1, why="no_answer"))])
    first, second = entries(ledger, 2)
    judge = gate(ledger, max_open_orders=1)
    assert judge.judge(first, NOW_US) is True
    assert isinstance(judge.judge(second, NOW_US), e.Withdrawn)


def test_what_ended_makes_room_and_what_was_filled_does_not(ledger: Ledger) -> None:
    recorded(ledger, 4)
    judge = gate(ledger, max_total_exposure_e6=(FIRST + SECOND) * 10_000)
    first, second, third, _ = entries(ledger, 4)
    assert claims(judge, [first, second]) == [True, True]
    judge.note(tell(ledger, [(first, claimed(first)), (second, claimed(second))]).values())
    assert isinstance(judge.judge(third, NOW_US), e.Withdrawn)
    first, second, third, _ = entries(ledger, 4)
    judge.note(tell(ledger, [(second, acknowledged(second, second.count_e2))]).values())
    assert isinstance(judge.judge(third, NOW_US), e.Withdrawn)
    refused = e.AttemptRefused(attempt=1, http_status=400, code="bad", message="")
    judge.note(tell(ledger, [(first, refused)]).values())
    first, *_ = entries(ledger, 4)
    assert isinstance(judge.judge(third, NOW_US), e.Withdrawn)
    assert judge.judge(replace(third, count_e2=100, order=replace(third.order, count_e2=100)), NOW_US) is True


def test_an_order_waits_until_its_market_was_read(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    judge = gate(ledger, check_market=True)
    assert judge.judge(entry, NOW_US) is False
    assert judge.stale == {"T-1"}
    judge.learn([facts("T-1")])
    assert judge.stale == set()
    assert judge.judge(entry, NOW_US) is True
    assert judge.judge(entry, NOW_US + 60_000_001) is False
    judge.learn([facts("T-1", status="inactive")])
    assert isinstance(judge.judge(entry, NOW_US), e.Withdrawn)
    judge.learn([facts("T-1", event_ticker="")])
    assert judge.judge(entry, NOW_US) is True


def test_two_equal_orders_recorded_at_once_by_two_processes_are_not_both_sent(ledger: Ledger) -> None:
    recorded(ledger, 1, "a")
    recorded(ledger, 1, "b", now_us=NOW_US + 5_000_000)
    one, two = entries(ledger, 1, "a") + entries(ledger, 1, "b")
    verdicts = claims(gate(ledger, duplicate_window_us=5_000_001), [two, one])
    assert verdicts[0] is True
    assert isinstance(verdicts[1], e.Withdrawn)
    assert "the same order was asked for 5 s before" in str(verdicts[1].detail)
    assert claims(gate(ledger, duplicate_window_us=5_000_000), [two, one]) == [True, True]


def test_an_order_is_no_repetition_of_itself(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    judge = gate(ledger, duplicate_window_us=DOLLAR)
    assert claims(judge, [entry]) == [True]
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    judge.note(tell(ledger, [(entry, e.NotProcessed(attempt=1, why="rate_limited"))]).values())
    (entry,) = entries(ledger, 1)
    assert entry.command.state is CommandState.QUEUED
    assert claims(judge, [entry]) == [True]


def test_losses_of_this_run_count_for_the_day(ledger: Ledger) -> None:
    recorded(ledger, 4)
    first, _, third, fourth = entries(ledger, 4)  # fourth: ask T-1 500 at 0.05; first: bid T-1 200 at 0.02
    judge = gate(ledger, Day(-40_000), max_daily_loss_e6=DOLLAR)
    assert judge.judge(third, NOW_US) is True
    tell(ledger, [(first, claimed(first)), (fourth, claimed(fourth))])
    first, _, third, fourth = entries(ledger, 4)
    for entry, price_e6 in ((first, 900_000), (fourth, 50_000)):  # bought dear, sold cheap
        order = replace(entry.order, price_e6=price_e6, fill_count_e2=200, status=OrderStatus.CANCELED)
        judge.note([entry])
        judge.note([replace(entry, order=order)])
    verdict = judge.judge(third, NOW_US)
    assert isinstance(verdict, e.Withdrawn)
    assert "today's realized loss is $1.74" in str(verdict.detail)


def test_after_a_loss_what_closes_is_sent_until_all_that_is_held_is_being_closed(ledger: Ledger) -> None:
    recorded(ledger, 4)
    first, second, _, fourth = entries(ledger, 4)  # ask T-1 of 3 (second) and of 5 (fourth)
    judge = gate(ledger, Day(-2 * DOLLAR), max_daily_loss_e6=DOLLAR)
    held_e2 = second.count_e2 + fourth.count_e2
    judge._kept.live.hold(second.ticker, 0, Held(held_e2, held_e2 * DOLLAR))
    same = replace(fourth, ticker=second.ticker)
    assert claims(judge, [second, same]) == [True, True]
    assert isinstance(judge.judge(replace(same, order_key=99, command_key=99), NOW_US), e.Withdrawn)
    assert isinstance(judge.judge(first, NOW_US), e.Withdrawn)
    cut = replace(first, body=first.body.replace("{", '{"reduce_only":true,', 1))
    assert judge.judge(cut, NOW_US) is True


def test_an_amend_is_judged_and_a_decrease_is_not(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, acknowledged(entry))])
    (entry,) = entries(ledger, 1)
    record_change(ledger, entry.order_key, Change(price_e6=500_000), None, NOW_US)
    with ledger.read() as connection:
        amend = entry_of(connection.execute(exposure._AMENDS).one())
    assert gate(ledger, max_total_exposure_e6=DOLLAR).judge(amend, NOW_US) is True
    refused = gate(ledger, max_total_exposure_e6=DOLLAR - 1).judge(amend, NOW_US)
    assert isinstance(refused, e.Withdrawn)
    judge = gate(ledger, max_total_exposure_e6=DOLLAR)
    assert claims(judge, [amend]) == [True]
    recorded(ledger, 1, "z")
    assert isinstance(judge.judge(*entries(ledger, 1, "z"), NOW_US), e.Withdrawn)
    less = replace(amend, command=replace(amend.command, terms=replace(amend.command.terms, reduce_to_e2=1)))
    assert gate(ledger, max_order_count_e2=0).judge(less, NOW_US) is True
    (after,) = tell(ledger, [(amend, refused)]).values()
    assert (after.command.state, after.command.reason) == (CommandState.WITHDRAWN, Reason.LIMIT)
    assert after.order.status is OrderStatus.RESTING
