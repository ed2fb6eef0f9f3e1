"""The trading desk: orders are placed, traded, canceled and expired here, and nowhere else.

Every rule is asked before anything changes, so a refusal leaves no trace, but for the client_order_id that
a killed fill-or-kill uses up. Money is reserved for what an order would open at its limit price.
"""

import heapq
from collections.abc import Callable

import msgspec

from oms.sandbox.account import Account, Fill, HoldingState, turned
from oms.sandbox.amounts import MICROS, fee_e6
from oms.sandbox.book import Book
from oms.sandbox.groups import Group
from oms.sandbox.markets import TAKER_RATE_E4, Market
from oms.sandbox.matching import Plan, Take, plan
from oms.sandbox.orders import Order, Status, Ticket, Version, cost_e6
from oms.sandbox.refusals import Refusal, already_exists, not_found, refuse
from oms.sandbox.state import Moment, State, Trade

OUTSIDER = "outsider"
EXPIRED = "ExpiryCancel"


class Desk:
    """Carries out what clients ask for against one exchange's state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._filled_groups: dict[str, int] = {}  # contracts filled by the request at hand
        self._tail_until_us: dict[tuple[str, int | None], int] = {}
        self._ending: list[tuple[int, int, str, Order]] = []  # when, which, the reason, and the order itself
        for order in state.by_order_id.values():
            if order.now.status == "resting":
                self.watch_expiry(order)

    # ---- placing

    def place(self, account: Account, ticket: Ticket, when: Moment) -> Order:
        """Accept an order, match it and rest what is left; raises Refusal, and then it is not placed."""
        self.check_open()
        market = self._market(ticket)
        self.check_unused(account, ticket.client_order_id)
        try:
            count, planned = self._check(account, ticket, market, when.at_us)
        except Refusal as refusal:
            is_killed = refusal.code == "fill_or_kill_insufficient_resting_volume"
            if ticket.client_order_id and (is_killed or self.state.knobs.burn_refused_ids):
                self.state.burn(account, ticket.client_order_id, when.at_us)
            raise
        order = self._accept(account, ticket, market, count, planned, when)
        self.trigger_hit(when)
        if order.now.status == "resting" and self._is_in_tail(account, ticket.subaccount, when.at_us):
            self._sweep(order, when)
        return order

    def check_open(self) -> None:
        """Raise the 409 of a trading or exchange pause."""
        if self.state.knobs.pause == "exchange":
            raise refuse(409, "exchange_is_paused")
        if self.state.knobs.pause == "trading":
            raise refuse(409, "trading_is_paused")

    def _market(self, ticket: Ticket) -> Market:
        market = self.state.markets.get(ticket.ticker)
        # An exchange_index of -1 means: route by ticker.
        if market is None or ticket.exchange_index not in (-1, market.exchange_index):
            raise refuse(404, "market_not_found")
        return market

    def check_unused(self, account: Account, client_order_id: str) -> None:
        """Raise the 409 for an id that is taken; how long one is, the knob `dedupe` says."""
        if not client_order_id:
            return
        earlier = account.by_client_order_id.get(client_order_id)
        if self.state.knobs.dedupe == "open_only":
            if earlier is not None and earlier.now.status == "resting":
                raise already_exists()
        elif earlier is not None or client_order_id in account.burned:
            raise already_exists()

    def _check(self, account: Account, ticket: Ticket, market: Market, at_us: int) -> tuple[int, Plan]:
        """All rules that need no change; returns the count to match (reduce_only caps it) and the trades."""
        check_tradable(market)
        if not market.has_price(ticket.price_e4):
            raise refuse(400, "invalid_price")
        _check_options(ticket, at_us)
        self._check_group(account, ticket, market)
        count = ticket.count_e2
        if ticket.reduce_only:
            count = min(count, account.closable_e2(ticket.subaccount, ticket.ticker, ticket.side))
        facing = self.state.books[ticket.ticker].facing(ticket.side)
        if ticket.post_only and facing.crosses(ticket.price_e4):
            raise refuse(400, "invalid_order", details="post only cross")
        prevention = ticket.self_trade_prevention_type
        planned = plan(facing, ticket.price_e4, count, account.user_id, prevention)
        is_short = planned.count_e2 < ticket.count_e2 and not planned.stopped
        if ticket.time_in_force == "fill_or_kill" and is_short:
            raise refuse(409, "fill_or_kill_insufficient_resting_volume")
        self._check_money(account, ticket, market, count, planned)
        return count, planned

    def _check_group(self, account: Account, ticket: Ticket, market: Market) -> None:
        if not ticket.order_group_id:
            return
        group = self.state.groups.get(ticket.order_group_id)
        named = (account.user_id, ticket.subaccount, market.exchange_index, False)
        if group is None or (group.user_id, group.subaccount, group.exchange_index, group.is_deleted) != named:
            raise refuse(404, "ORDER_GROUP_NOT_FOUND", "ORDER_GROUP_NOT_FOUND")
        if group.is_triggered:
            raise refuse(400, "EXCEEDED_ORDER_GROUP_RISK_LIMIT", "EXCEEDED_ORDER_GROUP_RISK_LIMIT")

    def _check_money(self, account: Account, ticket: Ticket, market: Market, count: int, planned: Plan) -> None:
        opening = count - min(count, account.closable_e2(ticket.subaccount, ticket.ticker, ticket.side))
        needed = cost_e6(ticket.side, ticket.price_e4, opening) + taker_fees(planned)
        needed += fee_e6(count - planned.count_e2, ticket.price_e4, market.series.maker_rate_e4)
        purse = account.purse(ticket.subaccount, market.exchange_index)
        if needed > purse.available_e6:
            if purse.cash_e6 == 0 and market.exchange_index != 0:
                raise refuse(404, "insufficient_shard_balance")
            raise refuse(400, "insufficient_balance")

    def _accept(
        self, account: Account, ticket: Ticket, market: Market, count: int, planned: Plan, when: Moment
    ) -> Order:
        for own in planned.self_canceled:
            self.end(own, when, "SelfTradeCancel")
        order = self.state.new_order(account.user_id, ticket, market.exchange_index, when.at_us)
        for take in planned.takes:
            self.trade(order, take, when)
        left = ticket.count_e2 - planned.count_e2
        is_resting = left > 0 and ticket.time_in_force == "good_till_canceled" and not planned.stopped
        status: Status = "executed" if left == 0 else "resting" if is_resting else "canceled"
        resting = left if is_resting else 0
        closable = account.closable_e2(ticket.subaccount, ticket.ticker, ticket.side)
        closing = min(resting, closable)
        version = Version(
            at_us=when.at_us,
            shown_us=when.shown_us,
            status=status,
            price_e4=ticket.price_e4,
            initial_e2=ticket.count_e2,
            fill_e2=planned.count_e2,
            remaining_e2=resting,
            taker_cost_e6=sum(cost_e6(ticket.side, t.maker.now.price_e4, t.count_e2) for t in planned.takes),
            maker_cost_e6=0,
            taker_fees_e6=taker_fees(planned),
            maker_fees_e6=0,
            reserved_e6=reserve(market, order, resting, closing, ticket.price_e4),
            closing_e2=closing,
            expiration_time=ticket.expiration_time,
            place=self.state.take_place(),
            reason="",
            client_order_id=ticket.client_order_id,
        )
        self._account_for(order, None, version)
        self.state.add_version(order, version)
        if is_resting:
            self.state.books[ticket.ticker].half(ticket.side).add(order)
            self.watch_expiry(order)
        self.stamp(account, order, when)
        return order

    # ---- trading

    def trade(self, taker: Order, take: Take, when: Moment) -> None:
        """Carry out one planned trade; the taker's own version is the caller's to make."""
        maker, count = take
        market = self.state.markets[maker.ticket.ticker]
        price = maker.now.price_e4
        trade_id = self.tell_trade(market, price, count, taker.ticket.side, when)
        self._fill_maker(maker, market, trade_id, count, when)
        self.book_fill(taker, trade_id, price, count, True, fee_e6(count, price, TAKER_RATE_E4), when)

    def tell_trade(self, market: Market, price: int, count: int, taker_side: str, when: Moment) -> str:
        """Make a trade public; returns its id."""
        trade_id = self.state.ids.uuid("trade", len(self.state.trades))
        self.state.add_trade(Trade(trade_id, market.ticker, price, count, taker_side, when.at_us))
        return trade_id

    def _fill_maker(self, maker: Order, market: Market, trade_id: str, count: int, when: Moment) -> None:
        before = maker.now
        left = before.remaining_e2 - count
        closing = max(0, before.closing_e2 - count)
        account = self.state.accounts.get(maker.user_id)
        fee = fee_e6(count, before.price_e4, market.series.maker_rate_e4)
        self.state.books[market.ticker].half(maker.ticket.side).shrink(maker, count)
        self.change(
            maker,
            msgspec.structs.replace(
                before,
                at_us=when.at_us,
                shown_us=when.shown_us,
                status="resting" if left else "executed",
                fill_e2=before.fill_e2 + count,
                remaining_e2=left,
                maker_cost_e6=before.maker_cost_e6 + cost_e6(maker.ticket.side, before.price_e4, count),
                maker_fees_e6=before.maker_fees_e6 + fee,
                closing_e2=closing,
                reserved_e6=0 if account is None else reserve(market, maker, left, closing, before.price_e4),
                reason="Trade",
            ),
        )
        self.book_fill(maker, trade_id, before.price_e4, count, False, fee, when)
        if account is not None:
            self.stamp(account, maker, when)

    def book_fill(
        self, order: Order, trade_id: str, price: int, count: int, is_taker: bool, fee: int, when: Moment
    ) -> None:
        """Give an account its half of a trade: the fill, the position and the cash; the caller stamps the purse."""
        account = self.state.accounts.get(order.user_id)
        if account is None:
            return
        ticket = order.ticket
        latest = max(when.at_us, account.latest_filled_us)
        self.state.add_fill(account, Fill(trade_id, order, price, count, is_taker, fee, *when, latest))
        holding = account.holdings.get((ticket.subaccount, ticket.ticker))
        held = HoldingState(*when) if holding is None else holding.now
        if ticket.order_group_id:
            self._filled_groups[ticket.order_group_id] = self._filled_groups.get(ticket.order_group_id, 0) + count
        after, cash = turned(held, ticket.side, price, count, fee)
        after = msgspec.structs.replace(after, at_us=when.at_us, shown_us=when.shown_us)
        self.state.set_holding(account, ticket.subaccount, ticket.ticker, after)
        account.purse(ticket.subaccount, order.exchange_index).cash_e6 += cash - fee

    def outside_trade(self, ticket: Ticket, when: Moment, accept: Callable[[Order], bool] | None = None) -> list[Order]:
        """Somebody without an account trades at once against resting orders (those `accept` lets through).

        Returns the orders that were hit.
        """
        market = self._market(ticket)
        facing = self.state.books[market.ticker].facing(ticket.side)
        planned = plan(facing, ticket.price_e4, ticket.count_e2, OUTSIDER, "taker_at_cross", accept)
        if planned.takes:
            account = Account(OUTSIDER)
            self._accept(account, ticket, market, ticket.count_e2, planned, when)
            self.trigger_hit(when)
        return [take.maker for take in planned.takes]

    # ---- ending

    def cancel(self, account: Account, order_id: str, shard: int, subaccount: int, when: Moment) -> tuple[Order, int]:
        """Cancel a resting order on the shard and subaccount named; returns it and the count_e2 taken off.

        Raises 404 for anything else: canceled before, executed, unknown, somebody else's, or elsewhere.
        """
        if self.state.knobs.pause == "exchange":
            raise refuse(409, "exchange_is_paused")
        order = self.resting(account, order_id, shard, subaccount)
        reduced = order.now.remaining_e2
        self.end(order, when, "")
        return order, reduced

    def resting(self, account: Account, order_id: str, shard: int, subaccount: int) -> Order:
        """The account's resting order on a shard and subaccount; raises the 404 that tells nothing apart."""
        order = self.state.by_order_id.get(order_id)
        if order is None or order.user_id != account.user_id or order.now.status != "resting":
            raise not_found()
        if order.exchange_index != shard or order.ticket.subaccount != subaccount:
            raise not_found()
        return order

    def cancel_all(self, account: Account, subaccount: int | None, when: Moment) -> int:
        """Cancel every resting order of the account (or of one subaccount); returns how many."""
        if self.state.knobs.pause == "exchange":
            raise refuse(409, "exchange_is_paused")
        tail_us = self.state.knobs.cancel_all_tail_ms * 1000
        self._tail_until_us[account.user_id, subaccount] = when.at_us + tail_us if tail_us else 0
        return self._end_all(
            lambda order: order.user_id == account.user_id and subaccount in (None, order.ticket.subaccount),
            when,
            "",
        )

    def _is_in_tail(self, account: Account, subaccount: int, at_us: int) -> bool:
        until = (self._tail_until_us.get((account.user_id, which), 0) for which in (None, subaccount))
        return at_us <= max(until)

    def trigger_hit(self, when: Moment) -> None:
        """Count what the request at hand filled in groups, and trigger those that reached their limit."""
        filled, self._filled_groups = self._filled_groups, {}
        for group_id, count in filled.items():
            group = self.state.groups[group_id]
            group.match(count, when.at_us)
            if group.is_hit(when.at_us):
                self.trigger(group, when)
            self.state.keep_group(group)

    def trigger(self, group: Group, when: Moment) -> None:
        """Cancel the orders of a group; it takes no new ones until it is reset."""
        group.is_triggered = True
        for order in self.state.orders_of_group(group.group_id):
            if order.now.status == "resting":
                self.end(order, when, "")
        self.state.keep_group(group)

    def start_pause(self, when: Moment) -> None:
        """Cancel the orders that asked to be canceled when a pause begins."""
        self._end_all(lambda order: order.ticket.cancel_order_on_pause, when, "HaltCancel")

    def end_market_orders(self, market: Market, when: Moment) -> None:
        """Cancel all that rests in a market that ended."""
        self._end_all(lambda order: order.ticket.ticker == market.ticker, when, "CloseCancel")

    def next_end_us(self) -> int | None:
        """When the next resting order ends by itself."""
        return self._ending[0][0] if self._ending else None

    def end_due(self, now_us: int) -> None:
        """Cancel what has expired by now or was caught by a cancel-all's tail, each at its own instant."""
        while self._ending and self._ending[0][0] <= now_us:
            at_us, _, reason, order = heapq.heappop(self._ending)
            is_due = reason != EXPIRED or order.now.expiration_time == at_us // MICROS
            if order.now.status == "resting" and is_due:
                self.end(order, Moment(at_us, at_us), reason)

    def watch_expiry(self, order: Order) -> None:
        """Have a resting order canceled when it expires, if it does."""
        if order.now.expiration_time is not None:
            heapq.heappush(self._ending, (order.now.expiration_time * MICROS, order.seq, EXPIRED, order))

    def _sweep(self, order: Order, when: Moment) -> None:
        """Cancel an order that came within the tail of a cancel-all, at once or after it was answered as resting."""
        delay_us = self.state.knobs.cancel_all_tail_delay_ms * 1000
        if delay_us:
            heapq.heappush(self._ending, (when.at_us + delay_us, order.seq, "", order))
        else:
            self.end(order, when, "")

    def _end_all(self, chosen: Callable[[Order], bool], when: Moment, reason: str) -> int:
        books: list[Book] = list(self.state.books.values())
        ended = [
            order for book in books for half in (book.bids, book.asks) for order in half.best_first() if chosen(order)
        ]
        for order in ended:
            self.end(order, when, reason)
        return len(ended)

    def end(self, order: Order, when: Moment, reason: str) -> None:
        """Cancel a resting order, with the stream's word for why ("" when its user asked)."""
        before = order.now
        self.state.books[order.ticket.ticker].half(order.ticket.side).shrink(order, before.remaining_e2)
        self.change(
            order,
            msgspec.structs.replace(
                before,
                at_us=when.at_us,
                shown_us=when.shown_us,
                status="canceled",
                remaining_e2=0,
                reserved_e6=0,
                closing_e2=0,
                reason=reason,
            ),
        )
        account = self.state.accounts.get(order.user_id)
        if account is not None:
            self.stamp(account, order, when)

    # ---- money and claims of resting orders

    def change(self, order: Order, version: Version) -> None:
        """Make the next version of an order, with what it reserves and claims."""
        self._account_for(order, order.now, version)
        self.state.add_version(order, version)

    def _account_for(self, order: Order, before: Version | None, after: Version) -> None:
        """Move what is reserved and claimed from one version of a resting order to the next."""
        account = self.state.accounts.get(order.user_id)
        if account is None:
            return
        ticket = order.ticket
        purse = account.purse(ticket.subaccount, order.exchange_index)
        purse.reserved_e6 += after.reserved_e6 - (0 if before is None else before.reserved_e6)
        claimed = after.closing_e2 - (0 if before is None else before.closing_e2)
        if claimed:
            claim = (ticket.subaccount, ticket.ticker, ticket.side)
            account.closing_e2[claim] = account.closing_e2.get(claim, 0) + claimed

    def stamp(self, account: Account, order: Order, when: Moment) -> None:
        """Keep the purse of an order as it is after a change."""
        self.state.stamp_purse(account, order.ticket.subaccount, order.exchange_index, *when)


def taker_fees(planned: Plan) -> int:
    """What the planned trades cost the taker, in dollars x 10^6."""
    return sum(fee_e6(take.count_e2, take.maker.now.price_e4, TAKER_RATE_E4) for take in planned.takes)


def reserve(market: Market, order: Order, left: int, closing: int, price: int) -> int:
    """Dollars x 10^6 held back for a resting order: what it would open, and the makers' fee on all of it."""
    return cost_e6(order.ticket.side, price, left - closing) + fee_e6(left, price, market.series.maker_rate_e4)


def check_tradable(market: Market) -> None:
    """Raise the refusal of a market that does not trade."""
    if market.status == "inactive":
        # A bot logged 335 of these in half an hour against one halted market (third party, October 2026).
        raise refuse(409, "trading_is_paused")
    if market.status != "active":
        raise refuse(400, "MARKET_ALREADY_CLOSED", "MARKET_ALREADY_CLOSED")


def _check_options(ticket: Ticket, at_us: int) -> None:
    is_gtc = ticket.time_in_force == "good_till_canceled"
    if ticket.reduce_only and ticket.time_in_force != "immediate_or_cancel":
        raise refuse(400, "invalid_order", details="reduce only must be immediate or cancel")
    if ticket.post_only and not is_gtc:
        raise refuse(400, "invalid_order", details="post only must be good till canceled")
    if ticket.expiration_time is not None:
        if not is_gtc:
            raise refuse(400, "invalid_order", details="expiration only with good till canceled")
        if ticket.expiration_time * MICROS <= at_us:
            raise refuse(400, "invalid_order", details="expiration is in the past")
