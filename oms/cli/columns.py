"""Which fields of a record a table shows, and how they read. json, jsonl and csv always carry every field."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from oms.records import (
    BalanceRecord,
    BatchRecord,
    BreakRecord,
    CheckRecord,
    ExternalOrderRecord,
    FillRecord,
    GroupRecord,
    MarketRecord,
    OrderRecord,
    PnlRecord,
    PositionRecord,
    SettlementRecord,
    TimelineEntry,
    TransferRecord,
)

Fields = Mapping[str, Any]


class SettingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, for `oms config show`."""

    key: str
    value: str
    origin: str  # default | file PATH | environment NAME | flag --x


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its title, its text, and where it is shown: `wide` on pipes alone, `narrow` on terminals alone."""

    title: str
    text: Callable[[Fields], str]
    whole: bool = True  # never folded; free text may be
    wide: bool = False
    number: bool = False
    narrow: bool = False  # says for a terminal what the wide columns say one by one


@dataclass(frozen=True, slots=True)
class View:
    """How a list of one kind of record is shown: `name` is its key in json."""

    name: str
    record: type[msgspec.Struct]
    columns: Sequence[Column]


def fields_of(record: object) -> Fields:
    """A record, or a mapping standing for one, by field name."""
    if isinstance(record, Mapping):
        return record
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]


def cell(value: object) -> str:
    """A value as a table shows it: unknown is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {word}" for word, count in value.items()) or "-"
    return str(value)


def _of(name: str) -> Callable[[Fields], str]:
    return lambda fields: cell(fields.get(name))


def _field(title: str, name: str = "", *, whole: bool = True, wide: bool = False, number: bool = False) -> Column:
    return Column(title, _of(name or title), whole, wide, number)


def status_text(order: Fields) -> str:
    """Where an order stands, in words: the status, and what makes it uncertain."""
    words = [cell(order.get("status"))]
    if order.get("in_doubt"):
        words.append("parked" if order.get("state") == "parked" else "in doubt")
    if order.get("late"):
        words.append("late")
    if order.get("cancel_state") in ("queued", "on_wire", "in_doubt", "parked"):
        words.append("cancel asked")
    return ", ".join(words)


def why_text(order: Fields) -> str:
    """The reason an order is where it is, with its detail."""
    said = [str(order[name]) for name in ("reason", "detail") if order.get(name)]
    return ": ".join(said) or "-"


def trade_text(order: Fields) -> str:
    """An order as a trader says it: "buy no 10 at 0.7000"."""
    return " ".join(
        [
            cell(order.get("action")),
            cell(order.get("outcome")),
            cell(order.get("count")),
            "at",
            cell(order.get("outcome_price")),
        ]
    )


ORDERS = View(
    "orders",
    OrderRecord,
    (
        _field("row", number=True),
        _field("client_order_id"),
        _field("order_id", wide=True),
        _field("batch", wide=True),
        _field("ticker"),
        _field("action", wide=True),
        _field("outcome", wide=True),
        _field("outcome_price", wide=True),
        _field("count", wide=True),
        Column("order", trade_text, narrow=True),
        Column("filled", _of("fill_count"), number=True),
        Column("status", status_text),
        Column("reason", why_text, whole=False),
        _field("created_at", wide=True),
    ),
)

BREAKS = View(
    "breaks",
    BreakRecord,
    tuple(
        _field(name, whole=name not in ("expected", "seen", "suggestion"), wide=name == "first_seen_at")
        for name in BreakRecord.__struct_fields__
    ),
)

EXTERNAL_ORDERS = View(
    "orders",
    ExternalOrderRecord,
    (
        _field("order_id"),
        _field("client_order_id", wide=True),
        _field("ticker"),
        _field("side"),
        _field("price", number=True),
        _field("count", number=True),
        _field("filled", "fill_count", number=True),
        _field("remaining", "remaining_count", number=True),
        _field("status"),
        _field("subaccount", wide=True),
        _field("created_at"),
        _field("as_of", wide=True),
    ),
)

BATCHES = View(
    "batches",
    BatchRecord,
    (
        _field("batch"),
        _field("source"),
        _field("rows", number=True),
        _field("orders", "counts"),
        _field("in_doubt", number=True),
        _field("created_at"),
        _field("key", wide=True),
    ),
)

GROUPS = View(
    "groups",
    GroupRecord,
    (
        _field("name"),
        _field("state"),
        _field("limit", "contracts_limit", number=True),
        _field("orders", number=True),
        _field("subaccount", number=True),
        _field("order_group_id"),
        _field("updated_at"),
    ),
)

MARKETS = View(
    "markets",
    MarketRecord,
    (
        _field("ticker"),
        _field("yes_bid", number=True),
        _field("yes_ask", number=True),
        _field("last_price", number=True),
        _field("volume", number=True),
        _field("status"),
        _field("close_time"),
        _field("title", whole=False),
    ),
)

FILLS = View(
    "fills",
    FillRecord,
    (
        _field("at"),
        _field("ticker"),
        _field("side"),
        _field("count", number=True),
        _field("price", number=True),
        _field("fee", number=True),
        _field("taker", "is_taker"),
        _field("tag", wide=True),
        _field("batch", wide=True),
        _field("order", "client_order_id"),
        _field("order_id", wide=True),
        _field("subaccount", wide=True, number=True),
        _field("trade_id", wide=True),
    ),
)

POSITIONS = View(
    "positions",
    PositionRecord,
    (
        _field("ticker"),
        _field("subaccount", wide=True, number=True),
        _field("position", number=True),
        _field("average", "average_price", number=True),
        _field("cost", number=True),
        _field("price", number=True),
        _field("by", "price_source"),
        _field("unrealized", number=True),
        _field("realized", number=True),
        _field("fees", number=True),
        _field("exchange", "exchange_position", number=True),
        _field("agrees"),
        _field("price_at", wide=True),
        _field("exchange_at", wide=True),
    ),
)

PNL = View(
    "lines",
    PnlRecord,
    (
        _field("by"),
        _field("key"),
        _field("fills", number=True),
        _field("volume", number=True),
        _field("position", number=True),
        _field("realized", number=True),
        _field("unrealized", number=True),
        _field("fees", number=True),
        _field("total", number=True),
    ),
)

BALANCES = View(
    "balances",
    BalanceRecord,
    (
        _field("at"),
        _field("subaccount", number=True),
        _field("balance", number=True),
        _field("moved", number=True),
        _field("trades", number=True),
        _field("settlements", number=True),
        _field("fees", number=True),
        _field("deposits", number=True),
        _field("withdrawals", number=True),
        _field("held", number=True),
        _field("unexplained", number=True),
        _field("transfers", wide=True, number=True),
        _field("since", wide=True),
        _field("portfolio_value", wide=True, number=True),
    ),
)

TRANSFERS = View(
    "transfers",
    TransferRecord,
    (
        _field("created_at"),
        _field("kind"),
        _field("status"),
        _field("amount", number=True),
        _field("fee", number=True),
        _field("from_subaccount", number=True),
        _field("to_subaccount", number=True),
        _field("moved_at"),
        _field("id", wide=True),
        _field("returned_at", wide=True),
    ),
)

SETTLEMENTS = View(
    "settlements",
    SettlementRecord,
    (
        _field("settled_at"),
        _field("ticker"),
        _field("result"),
        _field("value", number=True),
        _field("position", number=True),
        _field("revenue", number=True),
        _field("realized", number=True),
        _field("difference", number=True),
        _field("event_ticker", wide=True),
        _field("subaccount", wide=True, number=True),
        _field("yes_count", wide=True, number=True),
        _field("no_count", wide=True, number=True),
        _field("paid", wide=True, number=True),
    ),
)

CHECKS = View(
    "checks",
    CheckRecord,
    (
        Column("result", lambda check: {True: "ok", False: "WRONG", None: "unknown"}[check["ok"]]),
        _field("check", "name"),
        _field("seen", whole=False),
        Column("fix", lambda check: "-" if check["ok"] else cell(check["fix"]), whole=False),
    ),
)

TIMELINE = View(
    "timeline",
    TimelineEntry,
    (_field("at"), _field("command"), _field("event"), _field("text", whole=False)),
)

SETTINGS = View(
    "config",
    SettingRecord,
    (_field("key"), _field("value", whole=False), _field("origin")),
)
