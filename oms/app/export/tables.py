"""What can be exported: the columns of orders, fills and events, and their rows read from the ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from oms.app.views import order_record
from oms.ledger import export as walks
from oms.ledger.ledger import Ledger
from oms.records import OrderRecord
from oms.units import DOLLAR_E6, format_count, format_dollars, format_time

if TYPE_CHECKING:
    from sqlalchemy import Row


class Kind(StrEnum):
    """What a column holds, whatever it is written as."""

    TEXT = "text"
    FLAG = "flag"
    INTEGER = "integer"
    DOLLARS = "dollars"  # text with up to 6 decimals
    COUNT = "count"  # text with up to 2 decimals
    TIME = "time"  # RFC 3339, UTC
    JSON = "json"  # text in csv and parquet, itself in jsonl


Columns = Sequence[tuple[str, Kind]]
Line = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One thing that can be exported: its columns, and its rows as tuples in their order."""

    columns: Columns
    lines: Callable[[Ledger, walks.Span], Iterator[Line]]


# -- orders -------------------------------------------------------------------------------------------------------

_KINDS = {
    Kind.FLAG: ("in_doubt", "late", "preexisting"),
    Kind.INTEGER: ("row", "subaccount", "attempts"),
    Kind.DOLLARS: ("price", "outcome_price", "average_fill_price", "fees"),
    Kind.COUNT: ("count", "fill_count", "remaining_count"),
    Kind.TIME: ("created_at", "sent_at", "updated_at"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}


def _order_lines(ledger: Ledger, span: walks.Span) -> Iterator[Line]:
    for row in walks.orders(ledger, span):
        yield msgspec.structs.astuple(order_record(row, ledger.environment))


ORDERS = Table([(name, _KIND_OF.get(name, Kind.TEXT)) for name in OrderRecord.__struct_fields__], _order_lines)

# -- fills --------------------------------------------------------------------------------------------------------

_FILL_COLUMNS: Columns = (
    ("trade_id", Kind.TEXT),
    ("order_id", Kind.TEXT),
    ("client_order_id", Kind.TEXT),  # none: an order made elsewhere
    ("environment", Kind.TEXT),
    ("batch", Kind.TEXT),
    ("tag", Kind.TEXT),
    ("ticker", Kind.TEXT),
    ("side", Kind.TEXT),
    ("price", Kind.DOLLARS),  # of YES
    ("action", Kind.TEXT),
    ("outcome", Kind.TEXT),
    ("outcome_price", Kind.DOLLARS),
    ("count", Kind.COUNT),
    ("fee", Kind.DOLLARS),
    ("is_taker", Kind.FLAG),
    ("at", Kind.TIME),
)


def _fill_lines(ledger: Ledger, span: walks.Span) -> Iterator[Line]:
    for row in walks.fills(ledger, span):
        yield _fill(row, ledger.environment)


def _fill(row: "Row[Any]", environment: str) -> Line:
    r = row._mapping
    batch = None if r["batch_hex"] is None else r["batch_name"] or r["batch_hex"][:16]
    price_e6: int = r["price_e6"]
    outcome_e6 = DOLLAR_E6 - price_e6 if r["outcome"] == "no" else price_e6
    return (
        *(r["trade_id"], r["order_id"], r["client_order_id"], environment, batch, r["tag"], r["ticker"], r["side"]),
        format_dollars(price_e6),
        *(r["action"], r["outcome"], None if r["outcome"] is None else format_dollars(outcome_e6)),
        *(format_count(r["count_e2"]), format_dollars(r["fee_e6"]), bool(r["is_taker"])),
        format_time(r["ts_ms"] * 1000),
    )


FILLS = Table(_FILL_COLUMNS, _fill_lines)

# -- events -------------------------------------------------------------------------------------------------------

_EVENT_COLUMNS: Columns = (
    ("event_id", Kind.INTEGER),
    ("at", Kind.TIME),
    ("environment", Kind.TEXT),
    ("client_order_id", Kind.TEXT),
    ("ticker", Kind.TEXT),
    ("n", Kind.INTEGER),
    ("command", Kind.TEXT),
    ("event", Kind.TEXT),
    ("run", Kind.INTEGER),
    ("data", Kind.JSON),
)


def _event_lines(ledger: Ledger, span: walks.Span) -> Iterator[Line]:
    for row in walks.events(ledger, span):
        r = row._mapping
        yield (
            *(r["seq"], format_time(r["at_us"]), ledger.environment, r["client_order_id"], r["ticker"], r["n"]),
            *(r["command_kind"], r["kind"], r["epoch"], r["data"]),
        )


EVENTS = Table(_EVENT_COLUMNS, _event_lines)

TABLES = {"orders": ORDERS, "fills": FILLS, "events": EVENTS}
