"""The account's books from a real exchange over HTTP: what is recorded, once, and what is never concluded."""

from random import Random
from typing import Any

import pytest

from oms.errors import ReadFailed
from oms.ledger import books, money
from oms.money.books import Books, Market, keep
from oms.money.ties import BalanceTie, tie_balances, tie_positions
from tests.contract.worlds import CREATE, LIST, TICKER, World, fault, row
from tests.reconciler.keeping import Keeper, keeper

OTHER = "SBXRAIN-A-T20"


def by_hand(world: World, **changes: Any) -> str:
    """An order that this ledger does not make; its order_id."""
    answer = world.sandbox.create(**changes)
    assert answer.status_code == 201, answer.text
    order_id: str = answer.json()["order_id"]
    return order_id


def outsider(world: World, side: str, price: str, count: str, ticker: str = TICKER) -> None:
    """Somebody trades against resting orders of the account."""
    world.sandbox.control(trade={"ticker": ticker, "side": side, "price": price, "count": count})


def kept_books(keeper: Keeper) -> Books:
    return keep(money.trades(keeper.ledger), money.settlements(keeper.ledger))


def exchange_positions(world: World) -> dict[Market, int]:
    """What the exchange holds, asked past oms."""
    found: dict[Market, int] = {}
    for subaccount in (0, 1):
        answer = world.sandbox.call(
            "GET", "/portfolio/positions", subaccount=subaccount, settlement_status="all", limit=1000
        ).json()
        for each in answer["market_positions"]:
            found[Market(each["ticker"], subaccount)] = round(float(each["position_fp"]) * 100)
    return found


def operations(world: World) -> list[str]:
    return [each["operation"] for each in world.sandbox.log()]


def test_trades_of_orders_made_elsewhere_are_kept_once(own_world: World) -> None:
    by_hand(own_world, price="0.9900", count="2.50")
    with keeper(own_world) as kept:
        first, again, anew = kept.read(), kept.read(), kept.read(since_ms=0)
        assert (first.trades, first.strange_trades > 0) == (0, True)
        assert [(x.trades, x.strange_trades) for x in (again, anew)] == [(0, 0), (0, 0)]
        position = kept_books(kept).positions[Market(TICKER, 0)]
        assert position.position_e2 == 250
        assert position.fills == first.strange_trades


def test_trades_of_our_orders_become_their_events(own_world: World) -> None:
    run = own_world.submit([row(price="0.99", count="2")])
    with keeper(own_world) as kept:
        found = kept.read()
        assert (found.trades > 0, found.strange_trades, found.breaks) == (True, 0, [])
    name = run.orders[0].client_order_id
    assert own_world.events(name, None) == ["filled"] * found.trades
    order = own_world.order(name)
    assert (order.fill_count, order.average_fill_price is not None) == ("2.00", True)


@pytest.mark.usefixtures("impatient")
def test_a_trade_shown_before_its_order_was_known_as_ours_is_given_to_it(own_world: World) -> None:
    """A create in doubt: the exchange shows its trade, and only later is the order found under its id."""
    own_world.faults(fault("drop", CREATE, commit=True), fault("error", LIST, nth=2, times=None))
    settings = {"submit__in_flight_horizon_s": 1.2, "venue__timeout_s": 0.3, "submit__wait_s": 0.1}
    run = own_world.submit([row(price="0.99", count="3")], **settings)
    own_world.faults()
    assert run.states == ["in_doubt"]
    with keeper(own_world) as kept:
        early = kept.read()
        assert (early.trades, early.strange_trades > 0) == (0, True)
    assert own_world.drain().exit_code == 0
    with keeper(own_world) as kept:
        late = kept.read()
        assert (late.adopted, late.trades) == (early.strange_trades, early.strange_trades)
        assert sum(1 for _ in money.trades(kept.ledger)) == early.strange_trades
    name = run.orders[0].client_order_id
    assert own_world.events(name, None).count("filled") == early.strange_trades
    with own_world.opened() as oms:
        assert all(check.ok for check in oms.check())


def test_nothing_new_takes_three_requests(own_world: World) -> None:
    by_hand(own_world, price="0.9900", count="2.00")
    by_hand(own_world, price="0.0100", count="2.00")
    with keeper(own_world) as kept:
        kept.read()
        before = len(own_world.sandbox.log())
        kept.read()
        made = operations(own_world)[before:]
    assert made == ["GetUserDataTimestamp", "GetBalance", "GetPositions", "GetFills"]


def test_another_subaccount_is_read_when_it_traded_and_now_and_then(own_world: World) -> None:
    """A market can settle there without a trace elsewhere: it is read again after a while in any case."""
    own_world.sandbox.control(balance={"dollars": "50.00", "subaccount": 1})
    by_hand(own_world, price="0.9900", count="2.00", subaccount=1)
    with keeper(own_world) as kept:
        kept.read()
        assert books.held(kept.ledger) == {(TICKER, 1): 200}

        def balances_asked(**how: Any) -> int:
            before = len(own_world.sandbox.log())
            kept.read(**how)
            return operations(own_world)[before:].count("GetBalance")

        assert balances_asked() == 1
        by_hand(own_world, price="0.9900", count="1.00", subaccount=1)
        assert balances_asked() == 2
        assert books.held(kept.ledger) == {(TICKER, 1): 300}
        assert balances_asked() == 1
        assert balances_asked(since_ms=0) == 2
        own_world.sandbox.control(market={"ticker": TICKER, "status": "settled", "result": "no"})
        assert balances_asked() == 1
        later_ms = kept.venue.exchange.user_data_timestamp_ms() + 300_000
        assert balances_asked(as_of_ms=later_ms) == 2
        assert books.held(kept.ledger) == {}
        assert kept_books(kept).positions[Market(TICKER, 1)].position_e2 == 0


def test_historical_trades_are_read_the_first_time_and_when_they_moved(own_world: World) -> None:
    by_hand(own_world, price="0.9900", count="2.00")
    own_world.sandbox.control(historical_cutoff=2_000_000_000)
    with keeper(own_world) as kept:
        first = kept.read()
        assert first.strange_trades > 0
        own_world.sandbox.control(historical_cutoff=0)
        by_hand(own_world, price="0.9900", count="1.00")
        own_world.sandbox.control(historical_cutoff=2_000_000_000)
        found = kept.read(cutoff_ms=2_000_000_000_000)
        assert found.strange_trades > 0
        assert kept_books(kept).positions[Market(TICKER, 0)].position_e2 == 300


def test_trades_that_became_historical_since_are_looked_for_there(own_world: World) -> None:
    """Where history begins is asked once an hour, and whenever a trade that was shown is gone from the live list."""
    with keeper(own_world) as kept:
        kept.read()
        by_hand(own_world, price="0.9900", count="2.00")
        kept.read(horizon_ms=60_000)
        own_world.sandbox.control(historical_cutoff=2_000_000_000)
        by_hand(own_world, price="0.9900", count="1.00")
        assert kept.read(horizon_ms=60_000).strange_trades > 0
        assert kept_books(kept).positions[Market(TICKER, 0)].position_e2 == 300


@pytest.mark.parametrize("operation", ["GetFills", "GetPositions", "GetSettlements", "GetBalance"])
def test_a_reading_that_fails_concludes_nothing_and_the_next_one_begins_where_it_did(
    own_world: World, operation: str
) -> None:
    with keeper(own_world) as kept:
        kept.read()
        by_hand(own_world, price="0.9900", count="2.00")
        own_world.faults(fault("error", operation, times=None))
        with pytest.raises(ReadFailed):
            kept.read()
        own_world.faults()
        kept.read()
        assert {m: p.position_e2 for m, p in kept_books(kept).positions.items()} == {Market(TICKER, 0): 200}
        assert books.held(kept.ledger) == {(TICKER, 0): 200}


def test_a_list_of_trades_that_is_suddenly_empty_is_no_reading(own_world: World) -> None:
    with keeper(own_world) as kept:
        kept.read()
        by_hand(own_world, price="0.9900", count="2.00")
        kept.read(horizon_ms=60_000)
        by_hand(own_world, price="0.9900", count="1.00")
        own_world.faults(fault("empty_list", "GetFills"))
        with pytest.raises(ReadFailed, match="trades that it has shown before"):
            kept.read(horizon_ms=60_000)
        kept.read(horizon_ms=60_000)
        assert kept_books(kept).positions[Market(TICKER, 0)].position_e2 == 300


def test_reads_that_lag_more_than_they_did_are_told_by_their_instant(own_world: World) -> None:
    with keeper(own_world) as kept:
        kept.read()
        by_hand(own_world, price="0.9900", count="2.00")
        kept.read(horizon_ms=60_000)
        own_world.sandbox.control(read_lag_ms=60_000)
        assert kept.read(horizon_ms=120_000).strange_trades == 0
        own_world.sandbox.control(read_lag_ms=0)
        assert kept.read(horizon_ms=120_000).strange_trades == 0
        assert kept_books(kept).positions[Market(TICKER, 0)].position_e2 == 200


def test_a_list_of_positions_that_is_suddenly_empty_forgets_none(own_world: World) -> None:
    by_hand(own_world, price="0.9900", count="2.00")
    with keeper(own_world) as kept:
        kept.read()
        before = money.positions(kept.ledger)
        own_world.faults(fault("empty_list", "GetPositions"))
        kept.read()
        assert money.positions(kept.ledger) == before
        (tie,) = tie_positions(kept_books(kept), {m: shown.seen for m, shown in before.items()})
        assert tie.agrees


@pytest.mark.parametrize(("result", "value"), [("yes", None), ("no", None), ("scalar", "0.3725")])
def test_settlement_closes_what_was_held_and_the_balance_ties(own_world: World, result: str, value: str | None) -> None:
    with keeper(own_world) as kept:
        kept.read()
        by_hand(own_world, price="0.9900", count="2.34")
        by_hand(own_world, side="ask", price="0.0100", count="1.10", ticker=OTHER)
        kept.read()
        for ticker in (TICKER, OTHER):
            turn = {"ticker": ticker, "status": "settled", "result": result, "value": value}
            own_world.sandbox.control(market={name: told for name, told in turn.items() if told is not None})
        found = kept.read()
        assert found.settlements == 2
        after = kept_books(kept)
        assert {p.position_e2 for p in after.positions.values()} == {0}
        assert books.held(kept.ledger) == {}
        ties = balance_ties(kept)
        assert any(tie.settlements_e8 for tie in ties) is (result != "none")
        assert [tie.unexplained_e8 for tie in ties if not tie.is_explained] == []
        assert all(tie.agrees for tie in tie_positions(after, {}))


def balance_ties(kept: Keeper) -> list[BalanceTie]:
    shots = money.readings(kept.ledger)
    return tie_balances(money.trades(kept.ledger), money.settlements(kept.ledger), [shot.reading for shot in shots])


@pytest.mark.parametrize("seed", range(3))
def test_fills_positions_balances_and_the_exchange_are_one_after_random_trading(own_world: World, seed: int) -> None:
    """Orders of ours that trade, rest, are hit and canceled, others by hand, in two markets and two subaccounts."""
    random = Random(seed)
    own_world.sandbox.control(balance={"dollars": "5000.00", "subaccount": 1})
    for turn in range(3):
        run = own_world.submit([some_row(random) for _ in range(8)])
        for _ in range(3):
            by_hand(own_world, **some_take(random))
            outsider(own_world, "ask", "0.0100", f"{random.randint(1, 900) / 100:.2f}", random.choice([TICKER, OTHER]))
        resting = [order.client_order_id for order in run.orders if order.status == "resting"]
        if turn and resting:
            own_world.cancel(resting[0])
        with keeper(own_world) as kept:
            kept.read()
    with keeper(own_world) as kept:
        after, ties = kept_books(kept), balance_ties(kept)
        seen = {market: shown.seen for market, shown in money.positions(kept.ledger).items()}
    truth = exchange_positions(own_world)
    assert {m: p.position_e2 for m, p in after.positions.items() if p.position_e2} == {
        m: count for m, count in truth.items() if count
    }
    for tie in tie_positions(after, seen):
        assert (tie.agrees, tie.fees_gap_e6) == (True, 0)
        # The exchange rounds at each closing, to 10^-6 dollars.
        assert abs(tie.realized_gap_e8 or 0) <= 100 * tie.ours.fills
    assert [tie for tie in ties if not tie.is_explained] == []
    assert {tie.later.subaccount for tie in ties} == {0, 1}
    assert any(tie.later.held_e6 for tie in ties)


def some_row(random: Random) -> dict[str, Any]:
    ticker, action = random.choice([TICKER, OTHER]), random.choice(["buy", "sell"])
    price = random.choice(["0.99", "0.05", "0.04"]) if action == "buy" else random.choice(["0.01", "0.95", "0.96"])
    return row(
        ticker=ticker,
        action=action,
        price=price,
        count=f"{random.randint(1, 900) / 100:.2f}",
        subaccount=random.choice([0, 1]),
        time_in_force="immediate_or_cancel" if price in ("0.99", "0.01") else "good_till_canceled",
        self_trade_prevention_type="maker",
    )


def some_take(random: Random) -> dict[str, Any]:
    side = random.choice(["bid", "ask"])
    return {
        "ticker": random.choice([TICKER, OTHER]),
        "side": side,
        "price": "0.9900" if side == "bid" else "0.0100",
        "count": f"{random.randint(1, 900) / 100:.2f}",
        "subaccount": random.choice([0, 1]),
        "time_in_force": "immediate_or_cancel",
        "self_trade_prevention_type": "maker",
    }
