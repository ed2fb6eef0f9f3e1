"""What answers say about going on: stop, pause, back off, or just the next claims. Without threads, clocks by hand."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oms.ledger.claim import Desk, Scope
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry
from oms.lifecycle import events as e
from oms.lifecycle.states import CommandState
from oms.submitter.turn import LAST_BACKOFF_US, REFUSALS_IN_A_ROW, Turns
from oms.venue.limiter import Limiter
from tests.ledger.ledgers import NOW_US, entries, recorded, running
from tests.submitter.exchanges import Hands

COUNT = 60


class Line:
    """Turns over a ledger with queued orders."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.hands = Hands(NOW_US)
        self.limiter = Limiter()
        self.limiter.learn(write=(1_000_000, 10_000))
        self.turns = Turns(Desk(ledger, Scope(), at_once=False), self.limiter, self.hands.clock())

    @property
    def stop_code(self) -> str | None:
        return self.turns.signs.stop.code if self.turns.signs.stop is not None else None

    def claim(self, want: int = 1) -> list[Entry]:
        return list(self.turns.turn([], want).claimed)

    def answer(self, *pairs: tuple[Entry, e.Event], want: int = 0) -> list[Entry]:
        return list(self.turns.turn(list(pairs), want).claimed)

    def state(self, entry: Entry) -> CommandState:
        return entries(self.ledger, COUNT)[entry.order_key - 1].command.state


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with closing(running(tmp_path / "ledger.sqlite3")) as ledger:
        recorded(ledger, COUNT)
        yield Line(ledger)


def back(entry: Entry, why: str) -> e.NotProcessed:
    return e.NotProcessed(attempt=entry.command.attempts, why=why)


def refused(entry: Entry, code: str = "bad", status: int = 400) -> e.AttemptRefused:
    return e.AttemptRefused(attempt=entry.command.attempts, http_status=status, code=code)


def yes(entry: Entry) -> e.Acknowledged:
    return e.Acknowledged(
        attempt=entry.command.attempts,
        order_id=f"at-{entry.client_order_id}",
        fill_count_e2=0,
        remaining_count_e2=1,
        ts_ms=5,
    )


def unknown(entry: Entry) -> e.AttemptUnknown:
    return e.AttemptUnknown(attempt=entry.command.attempts, why="no_answer")


# -- refusals


def test_ten_refusals_in_a_row_with_one_code_stop_sending(line: Line) -> None:
    for entry in line.claim(REFUSALS_IN_A_ROW - 1):
        line.answer((entry, refused(entry)))
    assert line.stop_code is None
    (last,) = line.claim()
    line.answer((last, refused(last)))
    assert line.stop_code == "refusals"
    assert line.turns.signs.stop is not None
    assert line.turns.signs.stop.exit_code == 5
    assert line.claim(9) == []


def test_a_yes_or_another_code_in_between_starts_the_row_anew_and_an_unknown_answer_does_not(line: Line) -> None:
    row = line.claim(3 * REFUSALS_IN_A_ROW)
    breaks = [yes(row[5]), refused(row[5], "other")]
    for between in breaks:
        line.turns.signs.refusals = REFUSALS_IN_A_ROW - 1
        line.turns.signs.refusal_code = "bad"
        line.turns._note(row[5], between, NOW_US)
        line.turns._note(row[6], refused(row[6]), NOW_US)
        assert line.stop_code is None
    line.turns.signs.refusals = REFUSALS_IN_A_ROW - 1
    line.turns._note(row[7], unknown(row[7]), NOW_US)
    line.turns._note(row[8], refused(row[8]), NOW_US)
    assert line.stop_code == "refusals"


@pytest.mark.parametrize(("status", "code", "exit_code"), [(403, "credentials", 4), (410, "refusals", 5)])
def test_a_closed_door_stops_sending_at_the_first_refusal(line: Line, status: int, code: str, exit_code: int) -> None:
    (entry,) = line.claim()
    assert line.answer((entry, refused(entry, status=status)), want=9) == []
    assert line.stop_code == code
    assert line.turns.signs.stop is not None
    assert line.turns.signs.stop.exit_code == exit_code
    assert line.state(entry) is CommandState.REFUSED


# -- 401


def test_401_for_many_under_way_is_no_reason_to_stop_and_for_one_order_twice_is(line: Line) -> None:
    first = line.claim(8)
    line.answer(*[(entry, back(entry, "unauthorized")) for entry in first])
    assert line.stop_code is None
    again = line.claim(8)
    assert {entry.client_order_id for entry in again} == {entry.client_order_id for entry in first}
    line.answer((again[0], back(again[0], "unauthorized")))
    assert line.stop_code == "credentials"
    assert line.state(again[0]) is CommandState.QUEUED


def test_an_answer_that_was_understood_forgets_an_earlier_401(line: Line) -> None:
    one, two = line.claim(2)
    line.answer((one, back(one, "unauthorized")), (two, yes(two)))
    (one,) = line.claim(1)
    line.answer((one, back(one, "unauthorized")))
    assert line.stop_code is None


# -- waiting


def test_backing_off_doubles_each_time_the_wait_was_in_vain_up_to_its_bound(line: Line) -> None:
    pauses: list[float] = []
    for _ in range(9):
        (entry,) = line.claim()
        line.answer((entry, back(entry, "not_sent")))
        assert line.claim() == []
        pause_us = line.turns.signs.hold_until_us - line.hands.wall_us
        pauses.append(pause_us / 1e6)
        line.hands.tick(pause_us / 1e6)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    assert LAST_BACKOFF_US == 5_000_000


@pytest.mark.parametrize("why", ["not_sent", "rate_limited", "claim_too_old"])
def test_many_at_once_back_off_once_and_count_as_trouble(line: Line, why: str) -> None:
    many = line.claim(8)
    line.answer(*[(entry, back(entry, why)) for entry in many])
    assert line.turns.signs.backoff_us == 100_000
    assert (line.turns.signs.trouble, line.turns.signs.trouble_since_us) == (why, NOW_US)
    line.hands.tick(0.2)
    (entry,) = line.claim()
    line.answer((entry, yes(entry)))
    assert (line.turns.signs.backoff_us, line.turns.signs.trouble_since_us) == (0, None)


def test_a_rate_limit_drains_the_local_bucket(line: Line) -> None:
    line.limiter.learn(write=(10, 100))
    (entry,) = line.claim()
    line.answer((entry, back(entry, "rate_limited")))
    assert line.limiter.write.available(line.hands.wall_us) <= 0
    line.hands.tick(0.5)
    assert line.claim(9) == [], "half a second brings five tokens, and an order costs ten"


def test_a_pause_holds_all_claims_until_the_exchange_says_that_it_trades(line: Line) -> None:
    (entry,) = line.claim()
    line.answer((entry, back(entry, "paused")))
    line.hands.tick(60)
    assert line.claim(9) == []
    line.turns.resume()
    assert len(line.claim(9)) == 9


def test_a_pause_of_trading_alone_holds_no_cancel(line: Line) -> None:
    (entry,) = line.claim()
    paused = e.NotProcessed(attempt=1, why="paused", detail="trading_is_paused")
    line.answer((entry, paused))
    assert (line.turns.signs.is_paused, line.turns.signs.are_cancels_held) == (True, False)
    assert line.claim(9) == []
    line.answer((entry, e.NotProcessed(attempt=1, why="paused", detail="exchange_is_paused")))
    assert line.turns.signs.are_cancels_held
    line.turns.resume(trading=False)
    assert (line.turns.signs.is_paused, line.turns.signs.are_cancels_held) == (True, False)


def test_an_unknown_answer_says_nothing_about_going_on(line: Line) -> None:
    one, two = line.claim(2)
    line.answer((one, back(one, "not_sent")))
    before = (line.turns.signs.backoff_us, line.turns.signs.trouble_since_us)
    line.answer((two, unknown(two)))
    assert (line.turns.signs.backoff_us, line.turns.signs.trouble_since_us) == before
    assert line.state(two) is CommandState.IN_DOUBT


def test_a_request_refused_as_a_whole_sends_its_orders_singly_until_each_is_answered(line: Line) -> None:
    one, two = line.claim(2)
    line.answer((one, back(one, "batch_refused")), (two, back(two, "batch_refused")))
    assert line.turns.singly == {one.command_key, two.command_key}
    one, two = (x for x in line.claim(COUNT) if x.command_key in line.turns.singly)
    line.answer((one, refused(one)))
    assert line.turns.singly == {two.command_key}


# -- clocks


@pytest.mark.fault(72)
@pytest.mark.parametrize("by_s", [3, -3, 3_600, -3_600])
def test_after_a_jump_of_the_clock_one_turn_claims_nothing_and_the_next_by_the_clock_as_it_is(
    line: Line, by_s: float
) -> None:
    assert line.claim()
    line.hands.set_wall(by_s)
    assert line.claim() == []
    (entry,) = line.claim()
    assert entry.command.last_signed_ms == line.hands.wall_us // 1000


def test_a_clock_that_is_set_back_does_not_prolong_a_wait(line: Line) -> None:
    (entry,) = line.claim()
    line.answer((entry, back(entry, "not_sent")))
    line.hands.set_wall(-3_600)
    assert line.claim() == []
    assert line.turns.signs.trouble_since_us is None
    assert "x-1" in [x.client_order_id for x in line.claim(COUNT)]


def test_every_claim_of_a_turn_is_signed_with_its_time(line: Line) -> None:
    first = line.claim(3)
    line.hands.tick(1)
    second = line.claim(3)
    assert {x.command.last_signed_ms for x in first} == {NOW_US // 1000}
    assert {x.command.last_signed_ms for x in second} == {NOW_US // 1000 + 1_000}
