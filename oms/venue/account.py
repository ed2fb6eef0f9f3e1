"""The account as reads show it: orders, fills, positions, balance, limits.

Every record is frozen and exact (P8); an item that cannot be read is Unreadable for its listing to keep in sight.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from oms.errors import ReadFailed
from oms.lifecycle.events import Snapshot
from oms.units import parse_time_us
from oms.venue.limiter import EndpointCosts
from oms.venue.movements import MOVEMENT_LISTS, Movement, MovementKind, read_movement
from oms.venue.pages import PAGE_LIMIT, Listing
from oms.venue.reads import Reader
from oms.venue.settlements import Settlement, read_settlement
from oms.venue.wire import Number, Unreadable, convert, count_e2, dollars_e6, identifier, integer, printable, time_ms

__all__ = ["Account", "AccountLimits", "Balance", "Fill", "Position"]


T = TypeVar("T")


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of one order; counted once per trade_id."""

    trade_id: str
    order_id: str
    ticker: str
    side: str  # bid | ask
    count_e2: int
    price_e6: int  # YES price
    fee_e6: int
    is_taker: bool
    ts_ms: int
    subaccount: int | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts held of one market: positive YES, negative NO."""

    ticker: str
    position_e2: int
    exposure_e6: int
    realized_pnl_e6: int
    fees_paid_e6: int
    total_traded_e6: int
    updated_us: int | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Money of the account; the portfolio's value is whole cents, cut off by the exchange."""

    balance_e6: int
    portfolio_value_e6: int | None = None
    updated_ts: int | None = None  # Unix seconds


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Token buckets of the account: (tokens per second, capacity)."""

    usage_tier: str
    read: tuple[int, int]
    write: tuple[int, int]


class Account:
    """Reads of what belongs to the key's user."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get_order(self, order_id: str) -> Snapshot | None:
        """The order with that id; None when the exchange answers 404, which does not prove that there is none."""
        path = f"/portfolio/orders/{quote(order_id, safe='')}"
        body = self._reader.private(path, endpoint="/portfolio/orders/:order_id", also=(404,))
        if body is None:
            return None
        try:
            found = read_order(body.get("order") if isinstance(body, dict) else None)
        except Unreadable as exc:
            raise ReadFailed(f"order {order_id} cannot be read: {exc}") from None
        if found.order_id != order_id:
            raise ReadFailed(f"asked for order {order_id}, the exchange answered with {found.order_id}")
        return found

    def list_orders(
        self,
        *,
        min_ts: int | None = None,
        max_ts: int | None = None,
        ticker: str | None = None,
        status: str | None = None,
        subaccount: int | None = None,
    ) -> Listing[Snapshot]:
        """Orders, newest first; times are Unix seconds and should be padded (which one is compared is not said).

        Without filters it covers all statuses, subaccounts and shards, but not what has become historical.
        """
        return self._orders("/portfolio/orders", min_ts, max_ts, ticker, subaccount, status)

    def historical_orders(
        self,
        *,
        min_ts: int | None = None,
        max_ts: int | None = None,
        ticker: str | None = None,
        subaccount: int | None = None,
    ) -> Listing[Snapshot]:
        """Terminal orders that were last touched before the cutoff and have left the live list."""
        return self._orders("/historical/orders", min_ts, max_ts, ticker, subaccount, None)

    def fills(
        self, *, min_ts: int | None = None, order_id: str | None = None, ticker: str | None = None
    ) -> Listing[Fill]:
        """Fills, newest first; `min_ts` in Unix seconds."""
        return self._fills("/portfolio/fills", min_ts, order_id, ticker)

    def historical_fills(
        self, *, min_ts: int | None = None, order_id: str | None = None, ticker: str | None = None
    ) -> Listing[Fill]:
        """Fills from before the cutoff; filtered by order_id here, should the exchange not do it."""
        return self._fills("/historical/fills", min_ts, order_id, ticker)

    def balance(self, subaccount: int | None = None) -> Balance:
        """Money of the account (its own rate limit: about one call a second)."""
        path = "/portfolio/balance"
        return _whole(path, self._reader.private(path, {"subaccount": subaccount}), _read_balance)

    def positions(self, subaccount: int | None = None) -> Listing[Position]:
        """Positions of one subaccount (the exchange's default: 0, the primary one)."""
        path = "/portfolio/positions"
        query = {"subaccount": subaccount, "limit": PAGE_LIMIT}
        return Listing(
            lambda page: self._reader.private(path, page),
            "market_positions",
            query,
            _read_position,
            lambda position: position.ticker,
        )

    def settlements(self, subaccount: int, *, min_ts: int | None = None) -> Listing[Settlement]:
        """Settled markets of one subaccount, as far back as the exchange keeps them; `min_ts` in Unix seconds."""
        path = "/portfolio/settlements"
        query = {"subaccount": subaccount, "min_ts": min_ts, "limit": PAGE_LIMIT}
        return Listing(
            lambda page: self._reader.private(path, page),
            "settlements",
            query,
            read_settlement,
            lambda settlement: settlement.name,
        )

    def movements(self, kind: MovementKind) -> Listing[Movement]:
        """Deposits, withdrawals, or transfers between subaccounts: all there ever were."""
        path, field, page_limit = MOVEMENT_LISTS[kind]
        return Listing(
            lambda page: self._reader.private(path, page),
            field,
            {"limit": page_limit},
            lambda item: read_movement(kind, item),
            lambda movement: movement.movement_id,
        )

    def limits(self) -> AccountLimits:
        """The account's tier and token buckets."""
        path = "/account/limits"
        return _whole(path, self._reader.private(path), _read_limits)

    def endpoint_costs(self) -> EndpointCosts:
        """What calls cost where it is not the default (public)."""
        path = "/account/endpoint_costs"
        return _whole(path, self._reader.get(path), _read_costs)

    def _orders(
        self,
        path: str,
        min_ts: int | None,
        max_ts: int | None,
        ticker: str | None,
        subaccount: int | None,
        status: str | None,
    ) -> Listing[Snapshot]:
        query = {
            "min_ts": min_ts,
            "max_ts": max_ts,
            "ticker": ticker,
            "status": status,
            "subaccount": subaccount,
            "limit": PAGE_LIMIT,
        }
        return Listing(
            lambda page: self._reader.private(path, page),
            "orders",
            query,
            read_order,
            lambda order: order.order_id,
        )

    def _fills(self, path: str, min_ts: int | None, order_id: str | None, ticker: str | None) -> Listing[Fill]:
        query = {"min_ts": min_ts, "order_id": order_id, "ticker": ticker, "limit": PAGE_LIMIT}
        return Listing(
            lambda page: self._reader.private(path, page),
            "fills",
            query,
            read_fill,
            lambda fill: fill.trade_id,
        )


# -- the wire -----------------------------------------------------------------------------------------------------


class _Sided(msgspec.Struct, frozen=True):
    book_side: str | None = None
    side: str | None = None
    action: str | None = None
    yes_price_dollars: str | None = None
    no_price_dollars: str | None = None
    subaccount_number: str | None = None
    created_time: str | None = None


class _Order(_Sided, frozen=True):
    order_id: str | None = None
    client_order_id: str | None = None
    ticker: str | None = None
    status: str | None = None
    initial_count_fp: str | None = None
    fill_count_fp: str | None = None
    remaining_count_fp: str | None = None
    taker_fees_dollars: str | None = None
    maker_fees_dollars: str | None = None
    taker_fill_cost_dollars: str | None = None
    maker_fill_cost_dollars: str | None = None
    expiration_time: str | None = None
    last_update_time: str | None = None
    user_id: str | None = None


class _Fill(_Sided, frozen=True):
    fill_id: str | None = None
    trade_id: str | None = None
    order_id: str | None = None
    ticker: str | None = None
    market_ticker: str | None = None
    count_fp: str | None = None
    fee_cost: str | None = None
    is_taker: bool | None = None
    ts: str | None = None
    ts_ms: str | None = None


class _Position(msgspec.Struct, frozen=True):
    ticker: str | None = None
    position_fp: str | None = None
    market_exposure_dollars: str | None = None
    realized_pnl_dollars: str | None = None
    fees_paid_dollars: str | None = None
    total_traded_dollars: str | None = None
    last_updated_ts: str | None = None


class _Balance(msgspec.Struct, frozen=True):
    balance: str | None = None
    balance_dollars: str | None = None
    portfolio_value: str | None = None
    updated_ts: str | None = None


class _Bucket(msgspec.Struct, frozen=True):
    refill_rate: str
    bucket_capacity: str


class _Limits(msgspec.Struct, frozen=True):
    read: _Bucket
    write: _Bucket
    usage_tier: str = ""


class _Cost(msgspec.Struct, frozen=True):
    method: str
    path: str
    cost: str


class _Costs(msgspec.Struct, frozen=True):
    default_cost: str
    endpoint_costs: list[_Cost] | None = None


def read_order(item: Any) -> Snapshot:
    """An order object of any listing; Unreadable when it lacks an id, side, price or count."""
    order = convert(item, _Order)
    created_ms = _optional_ms(order.created_time)
    return Snapshot(
        order_id=identifier(order.order_id, "order_id"),
        client_order_id=_client_order_id(order.client_order_id),
        ticker=printable(order.ticker or "", 256),
        side=_side(order),
        status=printable(order.status or "", 64),
        price_e6=_yes_price(order),
        initial_count_e2=count_e2(order.initial_count_fp, "initial_count_fp"),
        fill_count_e2=count_e2(order.fill_count_fp, "fill_count_fp"),
        remaining_count_e2=count_e2(order.remaining_count_fp, "remaining_count_fp"),
        fees_e6=_money(order.taker_fees_dollars, "fees") + _money(order.maker_fees_dollars, "fees"),
        fill_cost_e6=_money(order.taker_fill_cost_dollars, "cost") + _money(order.maker_fill_cost_dollars, "cost"),
        created_ts_ms=created_ms,
        updated_ts_ms=_optional_ms(order.last_update_time),
        subaccount=_subaccount(order),
        expiration_time=_optional_seconds(order.expiration_time),
        user_id=printable(order.user_id or "", 128),
    )


def _client_order_id(given: str | None) -> str:
    """ "" is an order that somebody placed without one; a missing one may hide ours."""
    if given is None or isinstance(given, Number):
        raise Unreadable("no client_order_id")
    return printable(given, 128)


def read_fill(item: Any) -> Fill:
    """A fill object; Unreadable when it lacks an id, side, price, count or time."""
    fill = convert(item, _Fill)
    return Fill(
        trade_id=identifier(fill.fill_id or fill.trade_id, "fill_id"),  # one trade may be several fills
        order_id=identifier(fill.order_id, "order_id"),
        ticker=printable(fill.ticker or fill.market_ticker or "", 256),
        side=_side(fill),
        count_e2=count_e2(fill.count_fp, "count_fp"),
        price_e6=_yes_price(fill),
        fee_e6=_money(fill.fee_cost, "fee_cost"),
        is_taker=bool(fill.is_taker),
        ts_ms=_fill_ms(fill),
        subaccount=_subaccount(fill),
    )


_SIDES = {("yes", "buy"): "bid", ("yes", "sell"): "ask", ("no", "buy"): "ask", ("no", "sell"): "bid"}


def _side(item: _Sided) -> str:
    """bid or ask of the YES book; older objects only say buy/sell and yes/no."""
    if item.book_side in ("bid", "ask"):
        return item.book_side
    side = _SIDES.get((item.side or "", item.action or ""))
    if side is None:
        raise Unreadable("no side")
    return side


def _yes_price(item: _Sided) -> int:
    if item.yes_price_dollars is None and item.no_price_dollars is not None:
        return 1_000_000 - dollars_e6(item.no_price_dollars, "no_price_dollars")
    return dollars_e6(item.yes_price_dollars, "yes_price_dollars")


def _money(text: str | None, what: str) -> int:
    """An amount that may be absent; one that is there and cannot be read exactly is not read as nothing."""
    return dollars_e6(text, what) if text else 0


def _optional_seconds(text: str | None) -> int | None:
    """Unix seconds of a time that nothing but the settling of an amend rests on: unreadable is unknown."""
    try:
        return None if text is None else time_ms(text, "expiration_time") // 1000
    except Unreadable:
        return None


def _optional_ms(text: str | None) -> int | None:
    try:
        return time_ms(text, "time") if text else None
    except Unreadable:
        return None


def _subaccount(item: _Sided) -> int | None:
    return None if item.subaccount_number is None else integer(item.subaccount_number, "subaccount_number")


def _fill_ms(fill: _Fill) -> int:
    if fill.ts_ms is not None:
        return integer(fill.ts_ms, "ts_ms")
    if fill.created_time:
        return time_ms(fill.created_time, "created_time")
    return integer(fill.ts, "ts") * 1000


def _read_position(item: Any) -> Position:
    position = convert(item, _Position)
    text = position.position_fp
    if text is None:
        raise Unreadable("no position_fp")
    sign = -1 if text.startswith("-") else 1
    try:
        updated_us = parse_time_us(position.last_updated_ts) if position.last_updated_ts else None
    except (ValueError, OverflowError):
        updated_us = None
    return Position(
        ticker=printable(position.ticker or "", 256),
        position_e2=sign * count_e2(text.removeprefix("-"), "position_fp"),
        exposure_e6=_money(position.market_exposure_dollars, "market_exposure_dollars"),
        realized_pnl_e6=_money(position.realized_pnl_dollars, "realized_pnl_dollars"),
        fees_paid_e6=_money(position.fees_paid_dollars, "fees_paid_dollars"),
        total_traded_e6=_money(position.total_traded_dollars, "total_traded_dollars"),
        updated_us=updated_us,
    )


def _read_balance(value: Any) -> Balance:
    body = convert(value, _Balance)
    if body.balance_dollars:
        balance_e6 = dollars_e6(body.balance_dollars, "balance_dollars")
    else:
        balance_e6 = integer(body.balance, "balance") * 10_000
    portfolio = body.portfolio_value
    return Balance(
        balance_e6=balance_e6,
        portfolio_value_e6=None if portfolio is None else integer(portfolio, "portfolio_value") * 10_000,
        updated_ts=None if body.updated_ts is None else integer(body.updated_ts, "updated_ts"),
    )


def _read_limits(value: Any) -> AccountLimits:
    body = convert(value, _Limits)
    return AccountLimits(usage_tier=printable(body.usage_tier, 64), read=_bucket(body.read), write=_bucket(body.write))


def _bucket(bucket: _Bucket) -> tuple[int, int]:
    rate, capacity = integer(bucket.refill_rate, "refill_rate"), integer(bucket.bucket_capacity, "bucket_capacity")
    if rate <= 0 or capacity <= 0:
        raise Unreadable("a bucket that never fills")
    return rate, capacity


def _read_costs(value: Any) -> EndpointCosts:
    body = convert(value, _Costs)
    costs = {(each.method.upper(), _endpoint(each.path)): _cost(each.cost) for each in body.endpoint_costs or ()}
    return EndpointCosts(_cost(body.default_cost), costs)


def _cost(text: str) -> int:
    cost = integer(text, "cost")
    if cost < 0:
        raise Unreadable("a cost below zero")
    return cost


def _endpoint(path: str) -> str:
    """Paths are listed with or without the API's prefix."""
    return path.removeprefix("/trade-api/v2")


def _whole(path: str, value: Any, read: Callable[[Any], T]) -> T:
    try:
        return read(value)
    except Unreadable as exc:
        raise ReadFailed(f"the answer to GET {path} cannot be read: {exc}") from None
