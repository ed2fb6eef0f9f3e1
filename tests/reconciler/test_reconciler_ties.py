"""What does not tie out with the exchange: proven before it is told, told until it ties out again, else explained."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from oms.ledger import money, movements, queries, ties
from oms.money.books import Market, keep
from oms.money.ties import BalanceTie, tie_balances
from oms.reconciler.ties import MOVEMENTS_ASKED
from oms.records import BreakRecord
from oms.venue.pages import Unread
from tests.contract.worlds import TICKER, World, fault
from tests.reconciler.keeping import Keeper, keeper
from tests.reconciler.test_reconciler_books import by_hand, operations

LISTS = ["GetDeposits", "GetWithdrawals", "GetSubaccountTransfers"]


class LeavingOut:
    """The lists of trades without the oldest one, as a broken exchange might show them."""

    def __init__(self, kept: Keeper, monkeypatch: pytest.MonkeyPatch, most: int = 1) -> None:
        every = sorted(kept.venue.account.fills(), key=lambda fill: fill.ts_ms)
        self.hidden = {fill.trade_id for fill in every[:most]}
        for name in ("fills", "historical_fills"):
            monkeypatch.setattr(kept.venue.account, name, self._without(getattr(kept.venue.account, name)))

    def _without(self, read: Any) -> Any:
        def listing(**query: Any) -> Shortened:
            return Shortened(read(**query), self.hidden)

        return listing


class Shortened:
    def __init__(self, listing: Any, hidden: set[str]) -> None:
        self.listing = listing
        self.hidden = hidden

    def __iter__(self) -> Iterator[Any]:
        return (fill for fill in self.listing if fill.trade_id not in self.hidden)

    @property
    def unreadable(self) -> Any:
        return self.listing.unreadable


def await_data(kept: Keeper, since_ms: int, by_ms: int) -> None:
    """Wait until reads are so much younger than they were."""
    while kept.venue.exchange.user_data_timestamp_ms() < since_ms + by_ms:
        pass


def positions_of(breaks: list[BreakRecord]) -> list[tuple[str | None, str, str]]:
    return [(each.ticker, each.expected, each.seen) for each in breaks if each.kind == "position"]


def two_trades(world: World, subaccount: int = 0) -> None:
    by_hand(world, price="0.9900", count="2.00", subaccount=subaccount)
    by_hand(world, price="0.9900", count="3.00", subaccount=subaccount)


def test_a_position_that_does_not_tie_out_is_told_by_the_second_reading_until_it_does(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_trades(own_world)
    with keeper(own_world) as kept:
        broken = LeavingOut(kept, monkeypatch)
        assert positions_of(kept.read().breaks) == []
        (noted,) = ties.untied(kept.ledger).values()
        assert (noted.position_e2, noted.is_proven) == (500, 0)
        assert positions_of(kept.read(horizon_ms=60_000).breaks) == [], "so soon that nothing follows"
        await_data(kept, noted.until_ms, 250)
        (told,) = positions_of(kept.read().breaks)
        assert told[0] == TICKER
        assert told[2] == "5.00 at the exchange"
        assert positions_of(kept.read().breaks) == [told], "it stands although nothing is new"
        by_hand(own_world, price="0.9900", count="1.00")
        (more,) = positions_of(kept.read().breaks)
        assert more[2] == "6.00 at the exchange"
        broken.hidden.clear()
        assert positions_of(kept.read().breaks) == [], "what was left out is looked for"
        assert ties.untied(kept.ledger) == {}
        assert positions_of(kept.read().breaks) == []


def test_a_position_that_was_shown_before_its_trade_was_is_no_break(own_world: World) -> None:
    """A list of trades that lies once: the next reading looks there again by itself."""
    by_hand(own_world, price="0.9900", count="2.00")
    with keeper(own_world) as kept:
        kept.read()
        await_data(kept, kept.venue.exchange.user_data_timestamp_ms(), 2_500)  # no trade has to be shown once more
        by_hand(own_world, price="0.9900", count="3.00")
        own_world.faults(fault("empty_list", "GetFills"))
        found = kept.read()
        assert (found.strange_trades, positions_of(found.breaks)) == (0, [])
        (noted,) = ties.untied(kept.ledger).values()
        assert noted.position_e2 == 500
        await_data(kept, noted.until_ms, 2_500)
        after = kept.read()
        assert (after.strange_trades > 0, positions_of(after.breaks)) == (True, [])
        assert ties.untied(kept.ledger) == {}


def test_what_is_not_shown_concludes_nothing_and_leaves_what_stands(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_trades(own_world)
    with keeper(own_world) as kept:
        LeavingOut(kept, monkeypatch)
        own_world.faults(fault("empty_list", "GetPositions", times=None))
        for _ in range(2):
            start_ms = kept.venue.exchange.user_data_timestamp_ms()
            assert positions_of(kept.read().breaks) == []
            await_data(kept, start_ms, 600)
        assert ties.untied(kept.ledger) == {}
        own_world.faults()
        told = proven(kept)
        own_world.faults(fault("empty_list", "GetPositions", times=None))
        assert positions_of(kept.read().breaks) == told


def proven(kept: Keeper) -> list[tuple[str | None, str, str]]:
    """Read twice, as far apart as it takes."""
    kept.read()
    until_ms = max(each.until_ms for each in ties.untied(kept.ledger).values())
    await_data(kept, until_ms, 250)
    found = positions_of(kept.read().breaks)
    assert found
    return found


def test_while_an_entry_of_a_list_cannot_be_read_nothing_is_concluded(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_trades(own_world)
    with keeper(own_world) as kept:
        LeavingOut(kept, monkeypatch)
        monkeypatch.setattr(Shortened, "unreadable", [Unread(order_id="", client_order_id="", reason="no price")])
        for _ in range(2):
            kept.read()
            await_data(kept, kept.venue.exchange.user_data_timestamp_ms(), 600)
        assert ties.untied(kept.ledger) == {}


def test_a_market_that_settles_takes_its_break_along(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    two_trades(own_world)
    with keeper(own_world) as kept:
        LeavingOut(kept, monkeypatch)
        proven(kept)
        own_world.sandbox.control(market={"ticker": TICKER, "status": "settled", "result": "yes"})
        assert positions_of(kept.read().breaks) == []
        assert ties.untied(kept.ledger) == {}


def test_each_subaccount_ties_out_by_itself_and_one_break_names_them(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_world.sandbox.control(balance={"dollars": "50.00", "subaccount": 1})
    two_trades(own_world, subaccount=1)
    two_trades(own_world)
    with keeper(own_world) as kept:
        broken = LeavingOut(kept, monkeypatch)
        ((_, expected, seen),) = proven(kept)
        assert expected.startswith("subaccount 1: ")
        assert seen == "subaccount 1: 5.00 at the exchange"
        broken.hidden.clear()
        assert positions_of(kept.read(since_ms=0).breaks) == []


def test_what_markets_add_up_to_is_what_the_books_say_at_any_instant(own_world: World) -> None:
    own_world.sandbox.control(balance={"dollars": "50.00", "subaccount": 1})
    by_hand(own_world, price="0.9900", count="2.50")
    by_hand(own_world, price="0.9900", count="1.25", subaccount=1)
    by_hand(own_world, price="0.0100", count="4.00", side="ask", ticker="SBXRAIN-A-T20")
    with keeper(own_world) as kept:
        kept.read()
        own_world.sandbox.control(market={"ticker": TICKER, "status": "settled", "result": "no"})
        kept.read()
        kept.read(since_ms=0)
        trades, settled = list(money.trades(kept.ledger)), money.settlements(kept.ledger)
        tickers = {trade[0] for trade in trades}
        for instant in sorted({trade[5] for trade in trades} | {each.ts_ms for each in settled}):
            books = keep([t for t in trades if t[5] <= instant], [s for s in settled if s.ts_ms <= instant])
            found = ties.kept(kept.ledger, tickers, instant)
            assert {m: each.position_e2 for m, each in found.items()} == {
                m: position.position_e2 for m, position in books.positions.items()
            }
        assert ties.kept(kept.ledger, tickers)[Market(TICKER, 1)].position_e2 == 0


# -- balances ---------------------------------------------------------------------------------------------------------


def last_tie(kept: Keeper) -> BalanceTie:
    shots = [shot.reading for shot in money.readings(kept.ledger) if not shot.reading.subaccount]
    moved = movements.moved(kept.ledger)
    return tie_balances(money.trades(kept.ledger), money.settlements(kept.ledger), shots, moved)[-1]


def asked(world: World, kept: Keeper, **how: Any) -> list[str]:
    before = len(world.sandbox.log())
    kept.read(**how)
    return [each for each in operations(world)[before:] if each in LISTS]


def test_deposits_withdrawals_and_transfers_explain_a_balance_that_moved(own_world: World) -> None:
    with keeper(own_world) as kept:
        assert asked(own_world, kept) == LISTS
        assert asked(own_world, kept) == []
        by_hand(own_world, price="0.9900", count="2.00")
        assert asked(own_world, kept) == [], "trades explain it"
        own_world.sandbox.control(deposit={"dollars": "12.34"})
        own_world.sandbox.control(withdraw={"dollars": "2.00"})
        assert asked(own_world, kept) == LISTS
        tie = last_tie(kept)
        assert tie.moved_by == {"deposit": 12_340_000, "withdrawal": -2_000_000}
        assert tie.is_explained
        assert asked(own_world, kept) == []
        own_world.sandbox.control(tier="advanced")
        assert own_world.sandbox.call("POST", "/portfolio/subaccounts").status_code == 201
        transfer = {
            "client_transfer_id": "11111111-2222-4333-8444-555555555555",
            "from_subaccount": 0,
            "to_subaccount": 1,
            "amount_cents": 500,
        }
        assert own_world.sandbox.call("POST", "/portfolio/subaccounts/transfer", transfer).status_code == 200
        assert asked(own_world, kept) == LISTS
        assert (last_tie(kept).moved_by, last_tie(kept).is_explained) == ({"transfer": -5_000_000}, True)
        assert asked(own_world, kept, since_ms=0) == LISTS


@pytest.mark.parametrize("answer", [{"status": 403}, {"status": 404}])
def test_a_key_that_may_not_see_movements_reads_everything_else(own_world: World, answer: dict[str, Any]) -> None:
    own_world.faults(*(fault("error", each, times=None, **answer) for each in LISTS))
    with keeper(own_world) as kept:
        kept.read()
        assert queries.watermark(kept.ledger, MOVEMENTS_ASKED) is not None
        own_world.sandbox.control(deposit={"dollars": "12.34"})
        kept.read()
        assert last_tie(kept).unexplained_e8 == 12_34_000_000
        own_world.faults()
        start_ms = kept.venue.exchange.user_data_timestamp_ms()
        assert asked(own_world, kept) == LISTS, "once more, for a list may lag"
        assert last_tie(kept).is_explained
        await_data(kept, start_ms, 600)
        kept.read()
        assert asked(own_world, kept) == []


def test_what_is_in_no_list_stays_unexplained_to_the_cent(own_world: World) -> None:
    with keeper(own_world) as kept:
        kept.read()
        first, *_ = own_world.sandbox.call("GET", "/portfolio/balance").json()["balance_breakdown"]
        own_world.sandbox.control(balance={"dollars": f"{Decimal(first['balance']) + 3:.2f}"})
        kept.read()
        assert last_tie(kept).unexplained_e8 == 3_00_000_000
