"""What the ledger knows of exposure, on real files: what is live, what is held, the day, and one entry at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgers import NOW_US, acknowledged, claimed, entries, filled, recorded, running, tell, used
from msgspec.structs import replace
from sqlalchemy import insert

from oms.ledger import exposure, schema
from oms.ledger.changes import Change, record_change
from oms.ledger.ledger import Ledger
from oms.ledger.rows import Entry, entry_of
from oms.lifecycle import events as e
from oms.lifecycle.states import Command, CommandKind, CommandState, OrderStatus, Side, Terms
from oms.risk.checks import Day
from oms.risk.live import Held, LiveOrder, risk_e6

NOW_MS = NOW_US // 1000
MIDNIGHT_MS = NOW_MS // 86_400_000 * 86_400_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = running(tmp_path / "ledger.sqlite3")
    yield opened
    opened.close()


def put(ledger: Ledger, table: Any, **values: Any) -> None:
    with ledger.write() as connection:
        connection.execute(insert(table).values(**values))


def position(ledger: Ledger, ticker: str, count_e2: int, cost_e6: int, as_of_ms: int, subaccount: int = 0) -> None:
    put(
        ledger,
        schema.positions,
        ticker=ticker,
        subaccount=subaccount,
        position_e2=count_e2,
        exposure_e6=cost_e6,
        realized_pnl_e6=0,
        fees_e6=0,
        as_of_ms=as_of_ms,
    )


def trade(ledger: Ledger, name: str, side: str, count_e2: int, price_e6: int, ts_ms: int, fee_e6: int = 0) -> None:
    put(
        ledger,
        schema.fills,
        trade_id=name,
        order_id=f"of-{name}",
        ticker="T-0",
        side=side,
        count_e2=count_e2,
        price_e6=price_e6,
        fee_e6=fee_e6,
        is_taker=1,
        ts_ms=ts_ms,
    )


def settlement(ledger: Ledger, ts_ms: int, value_e6: int) -> None:
    put(
        ledger,
        schema.settlements,
        ticker="T-0",
        subaccount=0,
        settled_ts_ms=ts_ms,
        event_ticker="T",
        result="yes",
        yes_count_e2=0,
        yes_cost_e6=0,
        no_count_e2=0,
        no_cost_e6=0,
        value_e6=value_e6,
        revenue_e6=0,
        fee_e6=0,
    )


def cost_e8(orders: list[Entry]) -> int:
    return sum(risk_e6(Side(x.side), x.price_e6) * (x.order.count_e2 - x.order.fill_count_e2) for x in orders)


@pytest.mark.fault(80)
def test_everything_that_is_or_may_be_at_the_exchange_is_live(tmp_path: Path) -> None:
    ledger = used(tmp_path / "ledger.sqlite3")
    orders = entries(ledger, 12)
    by = {state: [x for x in orders if x.command.state is state] for state in CommandState}
    resting = [x for x in orders if x.order.status is OrderStatus.RESTING]
    assert by[CommandState.IN_DOUBT]
    assert by[CommandState.QUEUED]
    assert len(resting) == 4
    out = exposure.load(ledger, queued=False)
    assert out.live.open_orders == len(resting) + len(by[CommandState.IN_DOUBT])
    everything = exposure.load(ledger, queued=True)
    assert everything.live.open_orders == out.live.open_orders + len(by[CommandState.QUEUED])
    # Two orders have traded one contract, each of which is held now.
    traded_e8 = sum(risk_e6(Side(x.side), x.price_e6) * x.order.fill_count_e2 for x in orders)
    assert traded_e8 > 0
    for each in resting + by[CommandState.IN_DOUBT]:
        assert out.of(each.order_key) is not None
    assert all(out.of(x.order_key) is None for x in by[CommandState.QUEUED])
    assert out.live.total_e8 <= traded_e8 + cost_e8(resting + by[CommandState.IN_DOUBT])
    assert everything.live.total_e8 >= out.live.total_e8
    ledger.close()


@pytest.mark.fault(80)
def test_an_order_in_doubt_counts_as_one_that_rests(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    on_wire = exposure.load(ledger, queued=False).live.total_e8
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, e.AttemptUnknown(attempt=1, why="no_answer"))])
    in_doubt = exposure.load(ledger, queued=False).live.total_e8
    (entry,) = entries(ledger, 1)
    assert cost_e8([entry]) == on_wire == in_doubt > 0
    assert exposure.load(ledger, queued=True).live.total_e8 == in_doubt


def test_rows_of_a_batch_that_is_still_being_recorded_do_not_count(ledger: Ledger) -> None:
    recorded(ledger, 3)
    assert exposure.load(ledger, queued=True).live.open_orders == 3
    with ledger.write() as connection:
        connection.execute(schema.batches.update().values(state="recording"))
    assert exposure.load(ledger, queued=True).live.open_orders == 0
    assert exposure.recent(ledger, 0).age_us(LiveOrder("T-1", Side.BID, 20_000, 200), NOW_US) is None


def test_orders_made_elsewhere_count_while_they_rest(ledger: Ledger) -> None:
    for name, status, left_e2 in (("a", "resting", 500), ("b", "canceled", 0), ("c", "resting", 0)):
        put(
            ledger,
            schema.external_orders,
            order_id=name,
            client_order_id="",
            ticker="T-9",
            side="ask",
            price_e6=300_000,
            initial_count_e2=500,
            fill_count_e2=0,
            remaining_count_e2=left_e2,
            status=status,
            as_of_ms=1,
        )
    live = exposure.load(ledger, queued=False).live
    assert (live.open_orders, live.market_e8("T-9")) == (1, 500 * 700_000)


def test_a_position_is_the_last_reading_with_every_trade_since(ledger: Ledger) -> None:
    position(ledger, "T-0", 1000, 4_000_000, NOW_MS)
    trade(ledger, "before", "bid", 900, 990_000, NOW_MS)
    trade(ledger, "after", "ask", 500, 600_000, NOW_MS + 1)
    live = exposure.load(ledger, queued=False).live
    assert live.held("T-0", 0) == Held(500, 500 * 400_000)
    assert live.market_e8("T-0") == 500 * 400_000


def test_what_a_reading_left_out_was_zero_then(ledger: Ledger) -> None:
    position(ledger, "T-8", 100, 400_000, NOW_MS)
    trade(ledger, "before", "bid", 900, 990_000, NOW_MS)
    assert exposure.load(ledger, queued=False).live.held("T-0", 0) == Held()
    trade(ledger, "after", "bid", 200, 100_000, NOW_MS + 1)
    assert exposure.load(ledger, queued=False).live.held("T-0", 0) == Held(200, 200 * 100_000)


def test_without_a_reading_all_trades_make_the_position_and_a_settlement_ends_it(ledger: Ledger) -> None:
    trade(ledger, "one", "bid", 900, 500_000, NOW_MS)
    assert exposure.load(ledger, queued=False).live.held("T-0", 0) == Held(900, 900 * 500_000)
    settlement(ledger, NOW_MS + 5, 1_000_000)
    assert exposure.load(ledger, queued=False).live.held("T-0", 0) == Held()
    trade(ledger, "late", "ask", 100, 300_000, NOW_MS + 6)
    assert exposure.load(ledger, queued=False).live.held("T-0", 0) == Held(-100, 100 * 700_000)


def test_what_was_acknowledged_and_not_listed_counts_at_the_orders_price(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, acknowledged(entry, 100))])
    live = exposure.load(ledger, queued=False).live
    assert live.held("T-1", 0) == Held(100, 100 * entry.price_e6)
    assert live.total_e8 == entry.count_e2 * entry.price_e6
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, filled(entry, "t", 100))])
    assert exposure.load(ledger, queued=False).live.held("T-1", 0) == Held(100, 100 * entry.price_e6)


def test_entries_as_they_move_come_to_what_a_fresh_reading_finds(ledger: Ledger) -> None:
    recorded(ledger, 12)
    kept = exposure.load(ledger, queued=False)

    def move(facts: list[tuple[Entry, e.Event]]) -> None:
        after = tell(ledger, facts)
        kept.note(after.values())
        kept.note(after.values())  # twice is once
        fresh = exposure.load(ledger, queued=False)
        assert kept.live.open_orders == fresh.live.open_orders
        assert {x: kept.live.held(x, 0) for x in fresh.live.tickers} == {
            x: fresh.live.held(x, 0) for x in fresh.live.tickers
        }
        assert kept.live.total_e8 == fresh.live.total_e8

    move([(x, claimed(x)) for x in entries(ledger, 12)[:10]])
    one, two, three, four, five, *_ = entries(ledger, 12)
    move([(one, acknowledged(one)), (two, acknowledged(two, 100))])
    move([(three, e.AttemptRefused(attempt=1, http_status=400, code="bad", message=""))])
    move([(four, e.AttemptUnknown(attempt=1, why="no_answer")), (five, e.AttemptUnknown(attempt=1, why="no_answer"))])
    one, two, three, four, five, *_ = entries(ledger, 12)
    absent = e.AbsenceProven(as_of_ms=2, fence_ms=1, orders_seen=3, witnesses=1, final=False)
    move([(five, absent), (five, e.Requeued())])
    move([(one, filled(one, "t1", one.count_e2 - 50)), (two, filled(two, "t2", 100))])
    assert kept.live.total_e8 > 0


def test_a_kept_exposure_counts_a_fill_once_and_of_an_old_order_not_at_all(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, acknowledged(entry, entry.count_e2))])  # executed before the loading
    kept = exposure.load(ledger, queued=False)
    before = kept.live.total_e8
    (entry,) = entries(ledger, 1)
    kept.note([entry])
    assert kept.live.total_e8 == before
    kept.note([replace(entry, order_key=99)])  # recorded since: its fills are new
    assert kept.live.held("T-1", 0).position_e2 == 2 * entry.count_e2
    kept.note([replace(entry, order_key=entry.order_key + 1, order=replace(entry.order, late=True))])
    assert kept.live.held("T-1", 0).position_e2 == 3 * entry.count_e2


def amend(entry: Entry, state: CommandState, **terms: int) -> Entry:
    command = Command(kind=CommandKind.AMEND, state=state, terms=Terms(**terms))
    return replace(entry, command_key=entry.command_key + 100, command=command)


def test_a_pending_amend_counts_as_the_worse_of_both_terms(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, acknowledged(entry))])
    (entry,) = entries(ledger, 1)
    kept = exposure.load(ledger, queued=False)
    before = kept.of(entry.order_key)
    assert before == LiveOrder("T-1", Side.BID, 20_000, 200)
    kept.note([amend(entry, CommandState.QUEUED, price_e6=90_000)])
    assert kept.of(entry.order_key) == before
    kept.note([amend(entry, CommandState.ON_WIRE, price_e6=90_000)])
    assert kept.of(entry.order_key) == LiveOrder("T-1", Side.BID, 90_000, 200)
    kept.note([amend(entry, CommandState.IN_DOUBT, price_e6=10_000, count_e2=700)])
    assert kept.of(entry.order_key) == LiveOrder("T-1", Side.BID, 20_000, 700)
    kept.note([entry])  # something else about the order
    assert kept.of(entry.order_key) == LiveOrder("T-1", Side.BID, 20_000, 700)
    kept.note([amend(entry, CommandState.REFUSED, count_e2=700)])
    assert kept.of(entry.order_key) == before
    decrease = Command(kind=CommandKind.DECREASE, state=CommandState.ON_WIRE, terms=Terms(reduce_to_e2=0))
    kept.note([replace(entry, command=decrease)])
    assert kept.of(entry.order_key) == before


@pytest.mark.fault(80)
def test_an_amend_in_doubt_is_found_when_loading(ledger: Ledger) -> None:
    recorded(ledger, 1)
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, claimed(entry))])
    (entry,) = entries(ledger, 1)
    tell(ledger, [(entry, acknowledged(entry))])
    (entry,) = entries(ledger, 1)
    assert record_change(ledger, entry.order_key, Change(price_e6=500_000, count_e2=300), None, NOW_US) is not None
    as_it_is, as_asked = LiveOrder("T-1", Side.BID, 20_000, 200), LiveOrder("T-1", Side.BID, 500_000, 300)
    assert exposure.load(ledger, queued=False).of(entry.order_key) == as_it_is
    assert exposure.load(ledger, queued=True).of(entry.order_key) == as_asked
    with ledger.read() as connection:
        asked = entry_of(connection.execute(exposure._AMENDS).one())
    after = tell(ledger, [(asked, claimed(asked))])
    kept = exposure.load(ledger, queued=False)
    assert kept.of(entry.order_key) == as_asked
    (asked,) = after.values()
    refused = e.AttemptRefused(attempt=1, http_status=400, code="bad", message="")
    kept.note(tell(ledger, [(asked, refused)]).values())
    assert kept.of(entry.order_key) == as_it_is


def test_a_queued_create_counts_only_where_it_is_asked_for(ledger: Ledger) -> None:
    recorded(ledger, 2)
    first, second = entries(ledger, 2)
    before_wire, on_wire = exposure.load(ledger, queued=True), exposure.load(ledger, queued=False)
    for kept in (before_wire, on_wire):
        cancel = replace(first, command=Command(kind=CommandKind.CANCEL))
        kept.note([cancel, second])  # a cancel does not tell whether its order has left
    assert (before_wire.live.open_orders, on_wire.live.open_orders) == (2, 0)


def test_recent_orders_are_those_that_were_not_refused(tmp_path: Path) -> None:
    ledger = used(tmp_path / "ledger.sqlite3")
    orders = entries(ledger, 12)
    found = exposure.recent(ledger, NOW_US)
    for each in orders:
        same = LiveOrder(each.ticker, Side(each.side), each.price_e6, each.count_e2)
        is_gone = each.order.status in (OrderStatus.REJECTED, OrderStatus.UNSENT)
        assert found.age_us(same, NOW_US + 7) == (None if is_gone else 7)
    assert exposure.recent(ledger, NOW_US + 1).age_us(same, NOW_US + 7) is None
    ledger.close()


def test_more_orders_than_a_page_are_looked_through(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(ledger, 9)
    monkeypatch.setattr(exposure, "_PAGE", 4)
    found = exposure.recent(ledger, NOW_US)
    first = entries(ledger, 9)[0]
    assert found.age_us(LiveOrder(first.ticker, Side(first.side), first.price_e6, first.count_e2), NOW_US) == 0


def test_writes_of_the_last_seconds_are_found_oldest_first(ledger: Ledger) -> None:
    recorded(ledger, 3)
    assert exposure.recent_writes(ledger, 0) == []
    first, second, _ = entries(ledger, 3)
    tell(ledger, [(first, claimed(first))])
    tell(ledger, [(second, e.Claimed(attempt=1, epoch=1, signed_ms=NOW_MS - 500, at_us=NOW_US))])
    create = CommandKind.CREATE
    assert exposure.recent_writes(ledger, NOW_MS - 500) == [(NOW_MS - 500, create), (NOW_MS, create)]
    assert exposure.recent_writes(ledger, NOW_MS - 499) == [(NOW_MS, create)]


def test_the_day_is_what_was_closed_and_settled_since_midnight_less_fees(ledger: Ledger) -> None:
    assert exposure.day(ledger, NOW_US) == Day(0)
    trade(ledger, "yesterday", "bid", 1000, 500_000, MIDNIGHT_MS - 1, fee_e6=999_999)
    assert exposure.day(ledger, NOW_US) == Day(0)
    trade(ledger, "today", "ask", 400, 300_000, MIDNIGHT_MS, fee_e6=70_000)
    assert exposure.day(ledger, NOW_US) == Day(-800_000 - 70_000)
    settlement(ledger, MIDNIGHT_MS + 9, 0)
    assert exposure.day(ledger, NOW_US) == Day(-800_000 - 70_000 - 3_000_000)
    assert exposure.day(ledger, NOW_US + 86_400_000_000) == Day(0)


def test_markets_are_known_as_they_were_last_read(ledger: Ledger) -> None:
    put(
        ledger,
        schema.markets,
        ticker="T-0",
        event_ticker="EVENT",
        status="active",
        close_ts_ms=5,
        price_ranges="[[0,1000000,10000]]",
        yes_bid_e6=10_000,
        result="",
        read_at_us=7,
    )
    found = exposure.market_facts(ledger, ["T-0", "T-1"])
    assert set(found) == {"T-0"}
    facts = found["T-0"]
    assert (facts.event_ticker, facts.status, facts.close_ts_ms, facts.read_at_us) == ("EVENT", "active", 5, 7)
    assert (facts.grid, facts.yes_bid_e6, facts.yes_ask_e6) == (((0, 1_000_000, 10_000),), 10_000, None)
    assert exposure.load(ledger, queued=True).live.event("T-0") == "EVENT"
