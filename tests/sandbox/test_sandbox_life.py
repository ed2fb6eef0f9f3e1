"""Any life of an account, drawn by Hypothesis: after each act the books balance, and a restart changes nothing."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.sandbox.incidents import REASONS
from tests.sandbox.stepping import ORDERS, SPORTS, TICKER, Steps

GROUPS = "/portfolio/order_groups"
TICKERS = (TICKER, SPORTS)


class Act(NamedTuple):
    """One thing that happens; what its numbers mean depends on the kind."""

    kind: str
    ticker: str
    side: str
    cents: int
    count: int  # contracts x 100
    pick: int
    ms: int


KINDS = (
    *("create",) * 9,
    *("ioc", "amend", "amend", "decrease", "cancel", "trade", "trade", "fill"),
    *("unasked", "late", "all", *("group",) * 4, "trigger", "reset", "limit", "transfer", "pause", "close", "settle"),
)
ACTS = st.builds(
    Act,
    kind=st.sampled_from(KINDS),
    ticker=st.sampled_from(TICKERS),
    side=st.sampled_from(["bid", "ask"]),
    cents=st.integers(1, 99),
    count=st.integers(1, 3_000),
    pick=st.integers(0, 50),
    ms=st.integers(0, 9_000),
)


def text(count: int) -> str:
    return f"{count // 100}.{count % 100:02d}"


class Life:
    """An account and what was done to it. Refusals are part of any life: they must only leave no trace."""

    def __init__(self, path: Path) -> None:
        self.steps = Steps(path)
        self.number = 0
        for ticker in TICKERS:
            self.steps.create(
                ticker=ticker, side="bid", price="0.9900", count="20.00", time_in_force="immediate_or_cancel"
            )

    @property
    def account(self) -> Any:
        return self.steps.exchange.state.accounts[self.steps.exchange.state.user_id]

    def groups(self) -> list[str]:
        return [group.group_id for group in self.steps.exchange.state.groups.values()]

    def told(self, **change: Any) -> None:
        """A control request that may make no sense at this moment."""
        with suppress(ValueError):
            self.steps.control(**change)

    def act(self, act: Act) -> None:
        """Do it, at an order that is there if it needs one."""
        self.steps.wait(act.ms)
        self.number += 1
        status = "canceled" if act.kind == "late" else "resting"
        fitting = [order for order in self.account.orders if order.now.status == status]
        orders, groups = fitting or self.account.orders, self.groups()
        order = orders[act.pick % len(orders)]
        group = groups[act.pick % len(groups)] if groups else None
        price, count = f"0.{act.cents:02d}00", text(act.count)
        of = order.order_id
        call, ticker = self.steps.call, order.ticket.ticker
        if act.kind in ("create", "ioc"):
            changes = {"time_in_force": "immediate_or_cancel"} if act.kind == "ioc" else {"order_group_id": group}
            prevention = ("taker_at_cross", "maker")[act.pick % 2]
            self.steps.create(
                ticker=act.ticker, side=act.side, price=price, count=count, client_order_id=f"n{self.number}",
                self_trade_prevention_type=prevention, subaccount=1 if act.pick % 5 == 0 else None, **changes,
            )  # fmt: skip
        elif act.kind == "amend":
            body = {"ticker": ticker, "side": order.ticket.side, "price": price, "count": count}
            if act.pick % 3 == 0:
                body["updated_client_order_id"] = f"r{self.number}"
            call("POST", f"{ORDERS}/{of}/amend", body, subaccount=order.ticket.subaccount)
        elif act.kind == "decrease":
            body = {"reduce_to": text(order.now.remaining_e2 * act.cents // 99), "market_ticker": ticker}
            call("POST", f"{ORDERS}/{of}/decrease", body, subaccount=order.ticket.subaccount)
        elif act.kind == "cancel":
            call("DELETE", f"{ORDERS}/{of}", market_ticker=ticker, subaccount=order.ticket.subaccount)
        elif act.kind == "all":
            call("DELETE", ORDERS, subaccount=act.pick % 2)
        elif act.kind == "trade":
            self.told(trade={"ticker": act.ticker, "side": act.side, "price": price, "count": count})
        elif act.kind == "fill":
            self.told(fill={"order": of, "count": text(act.count % 100 + 1)})
        elif act.kind == "unasked":
            self.told(cancel={"order": of, "reason": REASONS[act.pick % len(REASONS)]})
        elif act.kind == "late":
            self.told(late_fill={"order": of, "count": text(act.count % 200 + 1)})
        elif act.kind == "transfer":
            body = {"from_subaccount": act.pick % 2, "to_subaccount": 1 - act.pick % 2, "amount_cents": act.count}
            name = f"00000000-0000-4000-8000-{self.number:012d}"
            call("POST", "/portfolio/subaccounts/transfer", {**body, "client_transfer_id": name})
        elif act.kind in ("trigger", "reset", "limit"):
            found = self.steps.exchange.state.groups.get(group or "")
            query = {"exchange_index": found.exchange_index if found else 0}
            call("PUT", f"{GROUPS}/{group}/{act.kind}", {"contracts_limit": act.cents}, **query)
        elif act.kind == "group":
            self.steps.call("POST", f"{GROUPS}/create", {"contracts_limit_fp": count, "exchange_index": act.pick % 2})
        else:
            self.turn(act)

    def turn(self, act: Act) -> None:
        """Pauses of all kinds, and the ends of a market."""
        if act.kind == "pause":
            self.steps.control(pause=("trading", "exchange")[act.pick % 2])
            self.steps.control(pause="none")
        elif act.kind == "settle" and act.pick % 4 == 0:
            result = {"result": "scalar", "value": f"0.{act.cents:02d}"} if act.pick % 8 else {"result": "no"}
            self.told(market={"ticker": act.ticker, "status": "settled", **result})
        elif act.kind == "close":
            self.told(market={"ticker": act.ticker, "status": ("closed", "paused", "open", "open")[act.pick % 4]})

    # ---- what must hold

    def check(self) -> None:
        """Money, contracts, claims, books and lists add up to the last digit."""
        account, state = self.account, self.steps.exchange.state
        resting = [order for order in account.orders if order.now.status == "resting"]
        assert list(account.resting.values()) == resting
        reserved: dict[Any, int] = defaultdict(int)
        claimed: dict[Any, int] = defaultdict(int)
        for order in resting:
            ticket = order.ticket
            reserved[ticket.subaccount, order.exchange_index] += order.now.reserved_e6
            claimed[ticket.subaccount, ticket.ticker, ticket.side] += order.now.closing_e2
            assert 0 <= order.now.closing_e2 <= order.now.remaining_e2 > 0
            assert order.now.fill_e2 + order.now.remaining_e2 <= order.now.initial_e2
        assert {key: purse.reserved_e6 for key, purse in account.purses.items() if purse.reserved_e6} == {
            key: amount for key, amount in reserved.items() if amount
        }
        assert {key: count for key, count in account.closing_e2.items() if count} == {
            key: count for key, count in claimed.items() if count
        }
        self.check_money()
        for order in account.orders:
            fills = account.fills_of.get(order.order_id, [])
            assert order.now.fill_e2 == sum(fill.count_e2 for fill in fills)
            assert order.now.taker_fees_e6 + order.now.maker_fees_e6 == sum(fill.fee_e6 for fill in fills)
        for book in (state.books[ticker] for ticker in TICKERS):
            for half in (book.bids, book.asks):
                assert half.prices == sorted(half.levels)
                for price, level in half.levels.items():
                    assert level.total_e2 == sum(order.now.remaining_e2 for order in level.orders.values()) > 0
                    assert all(order.now.price_e4 == price for order in level.orders.values())
        for group in state.groups.values():
            if group.is_triggered or group.is_deleted:
                assert all(order.now.status != "resting" for order in state.orders_of_group(group.group_id))

    def check_money(self) -> None:
        """Each purse holds what it began with, and what fills, settlements and transfers made of it."""
        account, markets = self.account, self.steps.exchange.state.markets
        cash: dict[tuple[int, int], int] = defaultdict(
            int, {(0, 0): 10**12, (0, 1): 10**11, (0, 2): 10**11, (1, 0): 10**10}
        )
        for (subaccount, ticker), holding in account.holdings.items():
            held = holding.now
            cash[subaccount, markets[ticker].exchange_index] += held.realized_e6 - held.exposure_e6 - held.fees_e6
            fills = [fill for fill in account.fills if fill.order.ticket.ticker == ticker]
            own = [fill for fill in fills if fill.order.ticket.subaccount == subaccount]
            signed = sum(fill.count_e2 if fill.order.ticket.side == "bid" else -fill.count_e2 for fill in own)
            settled = sum(
                paid.position_e2
                for paid in account.settlements
                if (paid.subaccount, paid.ticker) == (subaccount, ticker)
            )
            assert held.position_e2 == signed - settled
        for moved in account.movements:
            cash[moved.from_subaccount, 0] -= moved.amount_e6
            cash[moved.to_subaccount, 0] += moved.amount_e6
        assert {key: purse.cash_e6 for key, purse in account.purses.items() if purse.cash_e6} == {
            key: amount for key, amount in cash.items() if amount
        }

    def seen(self) -> list[Any]:
        """All that a client can read of it."""
        paths = (
            *("/portfolio/orders", "/portfolio/fills", "/portfolio/positions?all", "/portfolio/settlements"),
            *("/portfolio/balance", "/portfolio/orders/queue_positions", "/portfolio/subaccounts/balances"),
            *("/portfolio/subaccounts/transfers", GROUPS, "/markets", "/markets/trades"),
        )
        query = {"settlement_status": "all"}
        return [self.steps.get(path.split("?")[0], **(query if "?" in path else {})) for path in paths]


@settings(max_examples=40, deadline=None)
@given(acts=st.lists(ACTS, min_size=12, max_size=30))
def test_the_books_balance_through_any_life_and_a_restart(
    tmp_path_factory: pytest.TempPathFactory, acts: list[Act]
) -> None:
    life = Life(tmp_path_factory.mktemp("life") / "exchange.sqlite3")
    for act in acts:
        life.act(act)
        life.check()
    before = life.seen()
    life.steps.reopen()
    life.check()
    assert life.seen() == before
    life.steps.exchange.state.journal.close()
