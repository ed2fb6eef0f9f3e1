"""All that the exchange knows, in memory and in its journal: founded once, loaded at every later start."""

from collections import deque
from typing import NamedTuple

import msgspec

from oms.sandbox.account import Account, Fill, Holding, HoldingState, Movement, Purse, PurseState, Settlement
from oms.sandbox.amounts import MICROS, ONE_DOLLAR_E4
from oms.sandbox.auth import Key, load_key
from oms.sandbox.book import Book
from oms.sandbox.groups import Group
from oms.sandbox.journal import Journal
from oms.sandbox.knobs import Knobs
from oms.sandbox.markets import Market, first_markets, first_quotes
from oms.sandbox.orders import Order, Ticket, Version
from oms.sandbox.seed import Seed

# What a new account holds, in whole dollars, by (subaccount, exchange_index). Collateral is kept per shard.
FIRST_MONEY = {(0, 0): 1_000_000, (0, 1): 100_000, (0, 2): 100_000, (1, 0): 10_000}


class Moment(NamedTuple):
    """When a change is made, and from when reads may show it."""

    at_us: int
    shown_us: int


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade; `price_e4` is the YES price."""

    trade_id: str
    ticker: str
    price_e4: int
    count_e2: int
    taker_side: str
    at_us: int


class State:
    """Markets, books, orders, accounts and keys; every change goes through here into the journal."""

    def __init__(self, journal: Journal, knobs: Knobs) -> None:
        self.journal = journal
        self.knobs = knobs
        self.meta: dict[str, str] = {row["name"]: row["value"] for row in journal.read("meta")}
        self.markets: dict[str, Market] = {}
        self.books: dict[str, Book] = {}
        self.by_order_id: dict[str, Order] = {}
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Key] = {}
        self.trades: list[Trade] = []
        self.groups: dict[str, Group] = {}
        self._group_orders: dict[str, list[Order]] = {}
        self.next_seq = journal.last("placed") + 1
        self._last_place = 0
        self.now_us = 0  # the latest instant anything happened at; never goes back when the clock does
        self.closings: dict[str, int] = {}  # markets that close by themselves, and when
        self.hidden: list[Moment] = []  # changes that reads show later than their time

    @property
    def ids(self) -> Seed:
        """Where the exchange's own ids come from: distinct for every founded sandbox."""
        return Seed(self.meta["identity"])

    @property
    def user_id(self) -> str:
        """The account that a new sandbox opens."""
        return self.meta["user_id"]

    @property
    def is_founded(self) -> bool:
        """Does the journal hold an exchange already?"""
        return "identity" in self.meta

    def found(self, identity: str, seed: str, now_us: int) -> None:
        """Open a new exchange: markets with strangers' quotes drawn from `seed`, and one funded account."""
        self.now_us = now_us
        self.meta = {"identity": identity, "seed": seed, "user_id": Seed(identity).uuid("user")}
        for name, value in self.meta.items():
            self.journal.add("meta", (name, value))
        for market in first_markets(now_us):
            self.add_market(market)
            if market.status == "active":
                self._quote(market, Seed(seed), now_us)
        account = self.open_account(self.user_id)
        for (subaccount, exchange_index), dollars in FIRST_MONEY.items():
            account.purse(subaccount, exchange_index).cash_e6 = dollars * MICROS
            self.stamp_purse(account, subaccount, exchange_index, now_us, now_us)
        self.journal.commit()

    def _quote(self, market: Market, seed: Seed, now_us: int) -> None:
        for number, (side, price, count) in enumerate(first_quotes(market, seed)):
            stranger = f"stranger-{number % 3 + 1}"
            self.rest_stranger(stranger, market, "bid" if side == "bid" else "ask", price, count, now_us)

    def rest_stranger(self, user_id: str, market: Market, side: str, price_e4: int, count_e2: int, now_us: int) -> None:
        """Put a resting order of somebody without an account into the book, no questions asked."""
        ticket = Ticket(
            ticker=market.ticker,
            client_order_id="",
            side="bid" if side == "bid" else "ask",
            count_e2=count_e2,
            price_e4=price_e4,
            time_in_force="good_till_canceled",
            self_trade_prevention_type="taker_at_cross",
        )
        order = self.new_order(user_id, ticket, market.exchange_index, now_us)
        place = self.take_place()
        version = Version(
            now_us, now_us, "resting", price_e4, count_e2, 0, count_e2, *(0, 0, 0, 0, 0, 0, None, place, "")
        )
        self.add_version(order, version)
        self.books[market.ticker].half(ticket.side).add(order)

    # ---- changes, each remembered for the next commit

    def add_market(self, market: Market) -> None:
        """Add a market, or keep its changed state."""
        self._keep_market(market)
        self.journal.add("markets", (market.number, market.ticker, msgspec.json.encode(market).decode()))

    def _keep_market(self, market: Market) -> None:
        self.markets[market.ticker] = market
        self.books.setdefault(market.ticker, Book())
        self.closings.pop(market.ticker, None)
        if market.closes_us:
            self.closings[market.ticker] = market.closes_us

    def add_key(self, key: Key) -> None:
        """Let a key sign for its user."""
        self.keys[key.key_id] = key
        self.journal.add("keys", (key.key_id, key.user_id, key.public_pem, ",".join(key.scopes), key.subaccount))

    def open_account(self, user_id: str) -> Account:
        """The account of a user, opened empty if there is none."""
        return self.accounts.setdefault(user_id, Account(user_id))

    def new_order(self, user_id: str, ticket: Ticket, exchange_index: int, now_us: int) -> Order:
        """Give an order its number and id. The caller adds its first version before anything is committed."""
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        account = self.accounts.get(user_id)
        latest = now_us if account is None else max(now_us, account.latest_created_us)
        order_id = self.ids.uuid("order", seq)
        order = Order(seq, order_id, user_id, ticket, exchange_index, now_us, latest, [])
        self._add_placed(order)
        self._keep_order(order)
        return order

    def _add_placed(self, order: Order) -> None:
        ticket = order.ticket
        self.journal.add(
            "placed",
            (
                *(order.seq, order.order_id, order.user_id, ticket.client_order_id, ticket.ticker, ticket.side),
                *(ticket.count_e2, ticket.price_e4, ticket.subaccount, order.exchange_index, order.created_us),
                msgspec.json.encode(ticket).decode(),
            ),
        )

    def take_place(self) -> int:
        """The place behind everybody in every queue."""
        self._last_place += 1
        return self._last_place

    def rename(self, order: Order, client_order_id: str, now_us: int) -> None:
        """Give an order another client_order_id; the old one stays used up."""
        account = self.accounts[order.user_id]
        if order.ticket.client_order_id:
            self.burn(account, order.ticket.client_order_id, now_us)
        order.ticket = msgspec.structs.replace(order.ticket, client_order_id=client_order_id)
        account.by_client_order_id[client_order_id] = order
        self._add_placed(order)

    def add_version(self, order: Order, version: Version) -> None:
        """Keep the newest version of an order."""
        order.versions.append(version)
        account = self.accounts.get(order.user_id)
        if account is not None and version.status == "resting":
            account.resting[order.seq] = order
        elif account is not None:
            account.resting.pop(order.seq, None)
        self.journal.add("versions", (order.seq, len(order.versions), *msgspec.structs.astuple(version)))

    def add_fill(self, account: Account, fill: Fill) -> None:
        """Keep one fill of an account."""
        account.keep_fill(fill)
        self.journal.add(
            "fills",
            (
                *(None, fill.trade_id, fill.order.seq, account.user_id, fill.price_e4, fill.count_e2),
                *(int(fill.is_taker), fill.fee_e6, fill.at_us, fill.shown_us),
            ),
        )

    def add_trade(self, trade: Trade) -> None:
        """Keep one public trade."""
        self.trades.append(trade)
        market = self.markets[trade.ticker]
        market.last_price_e4 = trade.price_e4
        market.volume_e2 += trade.count_e2
        self.journal.add("trades", (None, *msgspec.structs.astuple(trade)))

    def add_settlement(self, account: Account, settlement: Settlement) -> None:
        """Keep what a settled market paid."""
        account.settlements.append(settlement)
        self.journal.add("settlements", (None, account.user_id, *msgspec.structs.astuple(settlement)))

    def add_movement(self, account: Account, movement: Movement) -> None:
        """Keep what was deposited, withdrawn or transferred."""
        account.movements.append(movement)
        self.journal.add("movements", (None, account.user_id, msgspec.json.encode(movement).decode()))

    def new_group(self, user_id: str, subaccount: int, exchange_index: int, limit_e2: int) -> Group:
        """Open an order group."""
        number = len(self.groups) + 1
        group = Group(number, self.ids.uuid("group", number), user_id, subaccount, exchange_index, limit_e2)
        self.groups[group.group_id] = group
        self.keep_group(group)
        return group

    def keep_group(self, group: Group) -> None:
        """Keep the changed state of a group."""
        self.journal.add("order_groups", (group.number, group.group_id, msgspec.json.encode(group).decode()))

    def orders_of_group(self, group_id: str) -> list[Order]:
        """All orders that were placed in a group, oldest first."""
        return self._group_orders.get(group_id, [])

    def set_netting(self, account: Account, subaccount: int, *, is_netting: bool) -> None:
        """Keep the netting setting of a subaccount, which comes to be by its first one."""
        account.netting[subaccount] = is_netting
        self.journal.add("netting", (account.user_id, subaccount, int(is_netting)))

    def set_holding(self, account: Account, subaccount: int, ticker: str, held: HoldingState) -> None:
        """Keep the newest state of a position."""
        account.holdings.setdefault((subaccount, ticker), Holding([])).past.append(held)
        self.journal.add("holdings", (None, account.user_id, subaccount, ticker, *msgspec.structs.astuple(held)))

    def stamp_purse(self, account: Account, subaccount: int, shard: int, at_us: int, shown_us: int) -> None:
        """Keep the present values of a purse, if they changed."""
        kept = account.purse(subaccount, shard).stamp(at_us, shown_us)
        if kept is not None:
            self.journal.add("purses", (None, account.user_id, subaccount, shard, *msgspec.structs.astuple(kept)))

    def burn(self, account: Account, client_order_id: str, now_us: int) -> None:
        """Use up an id without an order."""
        account.burned.add(client_order_id)
        self.journal.add("burned", (None, account.user_id, client_order_id, now_us))

    # ---- loading

    def load(self) -> None:
        """Read everything back, so that the exchange goes on where it was killed."""
        for row in self.journal.read("markets"):
            market = msgspec.json.decode(row["document"], type=Market)
            market.last_price_e4 = market.volume_e2 = 0
            if market.result == "yes":
                market.value_e4 = ONE_DOLLAR_E4  # files of the first schema do not say it
            self._keep_market(market)
        for row in self.journal.read("keys"):
            scopes = tuple(row["scopes"].split(","))
            key = load_key(row["key_id"], row["user_id"], row["public_pem"], scopes, row["subaccount"])
            self.keys[key.key_id] = key
        users = {row["user_id"] for row in self.journal.read("purses")} | {key.user_id for key in self.keys.values()}
        for user_id in sorted(users | {self.user_id}):
            self.open_account(user_id)
        self._load_orders()
        self._load_accounts()
        for row in self.journal.read("trades"):
            trade = Trade(*tuple(row)[1:])
            self.trades.append(trade)
            self.markets[trade.ticker].last_price_e4 = trade.price_e4
            self.markets[trade.ticker].volume_e2 += trade.count_e2

    def _load_orders(self) -> None:
        decode = msgspec.json.Decoder(Ticket).decode
        by_seq: dict[int, Order] = {}
        for row in self.journal.read("placed"):
            user_id, created = row["user_id"], row["created_us"]
            account = self.accounts.get(user_id)
            latest = created if account is None else max(created, account.latest_created_us)
            ticket, shard = decode(row["ticket"]), row["exchange_index"]
            order = Order(row["seq"], row["order_id"], user_id, ticket, shard, created, latest, [])
            by_seq[order.seq] = order
            self._keep_order(order)
        for row in self.journal.read("versions"):
            version = Version(*tuple(row)[2:])
            by_seq[row["seq"]].versions.append(version)
            self.now_us = max(self.now_us, version.at_us)
            self._last_place = max(self._last_place, version.place)
            if version.shown_us > version.at_us:
                self.hidden.append(Moment(version.at_us, version.shown_us))
        resting = [order for order in by_seq.values() if order.now.status == "resting"]
        for order in resting:
            if order.user_id in self.accounts:
                self.accounts[order.user_id].resting[order.seq] = order
        for order in sorted(resting, key=lambda order: order.now.place):
            self.books[order.ticket.ticker].half(order.ticket.side).add(order)
            account = self.accounts.get(order.user_id)
            if account is not None and order.now.closing_e2:
                claim = (order.ticket.subaccount, order.ticket.ticker, order.ticket.side)
                account.closing_e2[claim] = account.closing_e2.get(claim, 0) + order.now.closing_e2
        for row in self.journal.read("fills"):
            account, latest = self.accounts[row["user_id"]], row["at_us"]
            latest = max(latest, account.latest_filled_us)
            fill = Fill(row["trade_id"], by_seq[row["seq"]], row["price_e4"], row["count_e2"],
                        bool(row["is_taker"]), row["fee_e6"], row["at_us"], row["shown_us"], latest)  # fmt: skip
            account.keep_fill(fill)

    def _load_accounts(self) -> None:
        for row in self.journal.read("purses"):
            account, state = self.accounts[row["user_id"]], PurseState(*tuple(row)[4:])
            key = (row["subaccount"], row["exchange_index"])
            past = account.purses[key].past if key in account.purses else deque([PurseState(0, 0, 0, 0)])
            past.append(state)
            account.purses[key] = Purse(past)
        for row in self.journal.read("holdings"):
            account = self.accounts[row["user_id"]]
            past_of = account.holdings.setdefault((row["subaccount"], row["ticker"]), Holding([]))
            past_of.past.append(HoldingState(*tuple(row)[4:]))
        for row in self.journal.read("settlements"):
            self.accounts[row["user_id"]].settlements.append(Settlement(*tuple(row)[2:]))
        for row in self.journal.read("order_groups"):
            self.groups[row["group_id"]] = msgspec.json.decode(row["document"], type=Group)
        for row in self.journal.read("netting"):
            self.accounts[row["user_id"]].netting[row["subaccount"]] = bool(row["is_netting"])
        for row in self.journal.read("movements"):
            movement = msgspec.json.decode(row["document"], type=Movement)
            self.accounts[row["user_id"]].movements.append(movement)
        for row in self.journal.read("burned"):
            self.accounts[row["user_id"]].burned.add(row["client_order_id"])

    def _keep_order(self, order: Order) -> None:
        self.by_order_id[order.order_id] = order
        account = self.accounts.get(order.user_id)
        if account is None:
            return
        account.orders.append(order)
        if order.ticket.order_group_id:
            self._group_orders.setdefault(order.ticket.order_group_id, []).append(order)
        if order.ticket.client_order_id:
            account.by_client_order_id[order.ticket.client_order_id] = order
