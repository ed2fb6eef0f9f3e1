"""The account's figures in the ledger: recorded once, forgotten only for a reason, read in the order of time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import NOW_US, entries, recorded, running, tell

from oms.errors import EpochLost
from oms.ledger import books, money
from oms.ledger.ledger import Ledger
from oms.lifecycle import events as e
from oms.money.books import Market
from oms.money.positions import Settled
from oms.money.ties import hold_e6

NOW_MS = NOW_US // 1000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    held = running(tmp_path / "ledger.sqlite3")
    yield held
    held.close()


def trade(number: int, **changes: Any) -> books.SeenTrade:
    usual = books.SeenTrade(f"t-{number:04}", f"o-{number}", "A", "bid", 100, 400_000, 170, 1, NOW_MS + number, 0)
    return usual._replace(**changes)


def settlement(**changes: Any) -> books.SeenSettlement:
    return books.SeenSettlement("A", 0, NOW_MS + 50, "E", "yes", 100, 400_000, 0, 0, 1_000_000, 1_000_000, 0)._replace(
        **changes
    )


def position(count_e2: int = 100, **changes: Any) -> books.SeenPosition:
    return books.SeenPosition("A", 0, count_e2, 400_000, 0, 170, NOW_MS)._replace(**changes)


def balance(ledger: Ledger, at: int, balance_e6: int, subaccount: int = 0) -> None:
    books.note_balance(ledger, books.SeenBalance(subaccount, NOW_MS + at, balance_e6, 0))


def shown_balances(ledger: Ledger) -> list[tuple[int, int]]:
    return [(shot.reading.as_of_ms - NOW_MS, shot.reading.balance_e6) for shot in money.readings(ledger)]


def test_trades_are_read_in_the_order_of_time_over_page_ends(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [7, 3, 9, 1, 8, 2, 6, 4, 5]
    books.note_strange_trades(ledger, [trade(n, ts_ms=NOW_MS + n // 3, subaccount=None) for n in numbers])
    for page in (1, 2, 3, 100):
        monkeypatch.setattr(money, "PAGE", page)
        found = list(money.trades(ledger))
        assert [row[7] for row in found] == [f"t-{n:04}" for n in sorted(numbers)], page
    assert found[0] == ("A", 0, 100, 400_000, 170, NOW_MS, None, "t-0001")


def test_a_trade_of_ours_bears_the_names_of_its_order(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    claimed = e.Claimed(attempt=1, epoch=1, signed_ms=NOW_MS, at_us=NOW_US)
    acknowledged = e.Acknowledged(
        attempt=1, order_id="at-1", fill_count_e2=0, remaining_count_e2=entry.order.count_e2, ts_ms=NOW_MS + 5
    )
    filled = e.Filled(trade_id="mine", count_e2=100, price_e6=20_000, fee_e6=10, is_taker=False, ts_ms=NOW_MS + 20)
    tell(ledger, [(entry, claimed), (entry, acknowledged), (entry, filled)])
    books.note_strange_trades(ledger, [trade(1)])
    assert [row[6] for row in money.trades(ledger, "batch")] == [None, "x"]
    assert [row[6] for row in money.trades(ledger, "tag")] == [None, None]
    assert money.has_fills_of(ledger, "at-1")
    assert money.has_fills_of(ledger, "o-1")
    assert not money.has_fills_of(ledger, "o-2")
    # What the order holds back: from its acknowledgment on, less after its trade.
    for at in (4, 5, 19, 20, 90):
        balance(ledger, at, at)
    held = {shot.reading.as_of_ms - NOW_MS: shot.reading.held_e6 for shot in money.readings(ledger)}
    full = hold_e6(entry.side, entry.price_e6, entry.order.count_e2)
    rest = hold_e6(entry.side, entry.price_e6, entry.order.count_e2 - 100)
    assert held == {4: 0, 5: full, 19: full, 20: rest, 90: rest}


def test_a_settlement_is_kept_as_last_shown_and_counted_once(ledger: Ledger) -> None:
    assert books.note_settlements(ledger, [settlement(), settlement(subaccount=1)]) == 2
    assert books.note_settlements(ledger, [settlement(revenue_e6=900_000)]) == 0
    assert books.note_settlements(ledger, []) == 0
    assert money.settlements(ledger) == [
        Settled("A", 0, NOW_MS + 50, 1_000_000, 100, 0, 900_000),
        Settled("A", 1, NOW_MS + 50, 1_000_000, 100, 0, 1_000_000),
    ]


def test_the_market_tells_a_scalar_value_exactly(ledger: Ledger) -> None:
    books.note_settlements(ledger, [settlement(result="scalar", value_e6=370_000)])
    assert money.settlements(ledger)[0].value_e6 == 370_000
    market = books.SeenMarket("A", "E", "finalized", None, "[]", None, None, None, "scalar", 372_500, 0, NOW_US)
    books.note_markets(ledger, [market])
    assert money.settlements(ledger)[0].value_e6 == 372_500
    books.note_settlements(ledger, [settlement()])
    assert money.settlements(ledger)[0].value_e6 == 1_000_000, "yes is a dollar, whatever else is told"


def test_of_equal_balances_in_a_row_the_first_and_the_last_are_kept(ledger: Ledger) -> None:
    for at in range(5):
        balance(ledger, at, 70)
    balance(ledger, 9, 80)
    balance(ledger, 9, 80, subaccount=1)
    balance(ledger, 10, 70)
    balance(ledger, 11, 70)
    balance(ledger, 12, 70)
    assert shown_balances(ledger) == [(0, 70), (4, 70), (9, 80), (9, 80), (10, 70), (12, 70)]
    assert books.balances_read(ledger) == {0: NOW_MS + 12, 1: NOW_MS + 9}


def test_the_reading_of_one_instant_again_is_the_same_reading(ledger: Ledger) -> None:
    balance(ledger, 3, 70)
    balance(ledger, 3, 75)
    assert shown_balances(ledger) == [(3, 75)]


def test_a_position_is_forgotten_only_where_our_books_say_why(ledger: Ledger) -> None:
    names = ("traded", "settled", "netted", "zero", "shown")
    books.note_positions(ledger, 0, [position(0 if name == "zero" else 100, ticker=name) for name in names])
    books.note_strange_trades(
        ledger,
        [
            trade(1, ticker="traded"),
            trade(2, ticker="settled"),
            trade(3, ticker="netted"),
            trade(4, ticker="netted", side="ask"),
            trade(5, ticker="shown"),
        ],
    )
    books.note_settlements(ledger, [settlement(ticker="settled"), settlement(ticker="traded", subaccount=1)])
    books.forget_closed(ledger, 0, {"shown"})
    assert {market.ticker for market in money.positions(ledger)} == {"traded", "shown"}
    books.note_positions(ledger, 0, [position(50, ticker="shown")])
    assert money.positions(ledger)[Market("shown", 0)].seen.position_e2 == 50
    assert books.held(ledger) == {("traded", 0): 100, ("shown", 0): 50}


def test_a_run_that_lost_the_ledger_records_nothing(ledger: Ledger, tmp_path: Path) -> None:
    ledger.locks.writer.release()
    other = running(tmp_path / "ledger.sqlite3")
    other.close()
    for note in (
        lambda: books.note_strange_trades(ledger, [trade(1)]),
        lambda: books.note_settlements(ledger, [settlement()]),
        lambda: books.note_positions(ledger, 0, [position()]),
        lambda: balance(ledger, 1, 1),
        lambda: books.note_watermark(ledger, "trades_read", 1, 1),
    ):
        with pytest.raises(EpochLost):
            note()
    assert list(money.trades(ledger)) == money.settlements(ledger) == money.readings(ledger) == []
