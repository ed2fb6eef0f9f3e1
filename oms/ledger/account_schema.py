"""Tables of the account as it was last seen: trades, positions, money, markets, what others have placed there.

Beside `oms/ledger/schema.py`, which names them too. What is here is read from the exchange; only the trades of this
ledger's own orders follow from its events.
"""

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from oms.ledger.columns import Big, check, flag, metadata, one_of
from oms.lifecycle.states import Side

# Every trade of the account that was shown, each trade_id once: those of orders of this ledger follow from its events,
# those without an order_key belong to orders made elsewhere.
fills = Table(
    "fills",
    metadata,
    Column("trade_id", Text, primary_key=True),
    Column("order_key", Big, ForeignKey("orders.key")),
    Column("order_id", Text, nullable=False),
    Column("ticker", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("count_e2", Big, nullable=False),
    Column("price_e6", Big, nullable=False),
    Column("fee_e6", Big, nullable=False),
    Column("is_taker", Big, nullable=False),
    Column("ts_ms", Big, nullable=False),
    Column("subaccount", Big),  # NULL: the exchange did not say, or it is the one of its order
    one_of("side", Side),
    flag("is_taker"),
    check("count_e2 > 0", "count_positive"),
    Index("ix_fills_order_key", "order_key"),
    Index("ix_fills_ts_ms", "ts_ms"),
    sqlite_strict=True,
)

positions = Table(
    "positions",
    metadata,
    Column("ticker", Text, primary_key=True),
    Column("subaccount", Big, primary_key=True, autoincrement=False),
    Column("position_e2", Big, nullable=False),  # + YES, - NO
    Column("exposure_e6", Big, nullable=False),
    Column("realized_pnl_e6", Big, nullable=False),
    Column("fees_e6", Big, nullable=False),
    Column("as_of_ms", Big, nullable=False),
    sqlite_strict=True,
)

settlements = Table(
    "settlements",
    metadata,
    Column("ticker", Text, primary_key=True),
    Column("subaccount", Big, primary_key=True, autoincrement=False),
    Column("settled_ts_ms", Big, primary_key=True, autoincrement=False),
    Column("event_ticker", Text, nullable=False),
    Column("result", Text, nullable=False),  # yes | no | scalar, or a word that we do not know
    Column("yes_count_e2", Big, nullable=False),
    Column("yes_cost_e6", Big, nullable=False),
    Column("no_count_e2", Big, nullable=False),
    Column("no_cost_e6", Big, nullable=False),
    Column("value_e6", Big),  # of one YES contract, where the exchange says it
    Column("revenue_e6", Big, nullable=False),
    Column("fee_e6", Big, nullable=False),
    sqlite_strict=True,
)

# Readings of the balance; of several in a row that are equal, the first and the last.
balances = Table(
    "balances",
    metadata,
    Column("subaccount", Big, primary_key=True, autoincrement=False),
    Column("as_of_ms", Big, primary_key=True, autoincrement=False),
    Column("balance_e6", Big, nullable=False),
    Column("portfolio_value_e6", Big, nullable=False),
    Column("updated_ts", Big),  # Unix second of its last change; NULL where the exchange did not say
    sqlite_strict=True,
)

# Deposits, withdrawals, and transfers between subaccounts, each as last shown. An end outside the exchange is NULL.
movements = Table(
    "movements",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("movement_id", Text, primary_key=True),
    Column("status", Text, nullable=False),  # pending | applied | failed | returned, or a word that we do not know
    Column("from_subaccount", Big),
    Column("to_subaccount", Big),
    Column("amount_e6", Big, nullable=False),
    Column("fee_e6", Big, nullable=False),
    Column("created_ts", Big, nullable=False),  # Unix seconds, as the other two
    Column("moved_ts", Big),  # when it changed the balance; NULL: it has not
    Column("returned_ts", Big),  # when that was undone
    one_of("kind", ("deposit", "withdrawal", "transfer")),
    check("amount_e6 >= 0 AND fee_e6 >= 0", "amounts_positive"),
    check(
        "(kind = 'deposit') = (from_subaccount IS NULL) AND (kind = 'withdrawal') = (to_subaccount IS NULL)",
        "ends_known",
    ),
    sqlite_strict=True,
)

# Positions that did not tie out when they were last shown. Proven: no trade explains them, however late it was shown.
untied_positions = Table(
    "untied_positions",
    metadata,
    Column("ticker", Text, primary_key=True),
    Column("subaccount", Big, primary_key=True, autoincrement=False),
    Column("position_e2", Big, nullable=False),  # as the exchange showed it
    Column("as_of_ms", Big, nullable=False),  # at this instant at the earliest
    Column("until_ms", Big, nullable=False),  # and at this one at the latest (both of its clock)
    Column("ours_e2", Big, nullable=False),  # what trades and settlements added up to then
    Column("is_proven", Big, nullable=False),
    flag("is_proven"),
    sqlite_strict=True,
)

# The account's write bucket and what writes cost, whenever they were found to have changed.
rate_limits = Table(
    "rate_limits",
    metadata,
    Column("at_us", Big, primary_key=True, autoincrement=False),
    Column("write_per_s", Big, nullable=False),
    Column("write_capacity", Big, nullable=False),
    Column("create_cost", Big, nullable=False),
    Column("cancel_cost", Big, nullable=False),
    Column("amend_cost", Big, nullable=False),
    Column("decrease_cost", Big, nullable=False),
    sqlite_strict=True,
)

# What the exchange said of a market when it was last asked: a cache with its age.
markets = Table(
    "markets",
    metadata,
    Column("ticker", Text, primary_key=True),
    Column("event_ticker", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("close_ts_ms", Big),
    Column("price_ranges", Text, nullable=False),  # canonical JSON: [[start_e6, end_e6, step_e6], ...]
    Column("yes_bid_e6", Big),
    Column("yes_ask_e6", Big),
    Column("last_price_e6", Big),
    Column("result", Text, nullable=False),  # "" until there is one
    Column("settlement_value_e6", Big),
    Column("exchange_index", Big),
    Column("read_at_us", Big, nullable=False),
    sqlite_strict=True,
)

# Orders at the exchange that this ledger did not make, as they were last seen.
external_orders = Table(
    "external_orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("client_order_id", Text, nullable=False),
    Column("ticker", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("price_e6", Big, nullable=False),
    Column("initial_count_e2", Big, nullable=False),
    Column("fill_count_e2", Big, nullable=False),
    Column("remaining_count_e2", Big, nullable=False),
    Column("status", Text, nullable=False),
    Column("subaccount", Big),
    Column("created_ts_ms", Big),
    Column("as_of_ms", Big, nullable=False),
    one_of("side", Side),
    Index("ix_external_orders_resting", "ticker", sqlite_where=text("status = 'resting'")),
    sqlite_strict=True,
)

# What the last complete reading found that does not fit; replaced by every such reading.
breaks = Table(
    "breaks",
    metadata,
    Column("name", Text, primary_key=True),  # kind and ids: the same break again is the same row
    Column("kind", Text, nullable=False),
    Column("client_order_id", Text),
    Column("order_id", Text),
    Column("ticker", Text),
    Column("expected", Text, nullable=False),
    Column("seen", Text, nullable=False),
    Column("suggestion", Text, nullable=False),
    Column("first_seen_us", Big, nullable=False),
    Column("last_seen_us", Big, nullable=False),
    sqlite_strict=True,
)

order_groups = Table(
    "order_groups",
    metadata,
    Column("order_group_id", Text, primary_key=True),
    Column("name", Text, unique=True),  # what a person calls it here
    Column("subaccount", Big),
    Column("exchange_index", Big),
    Column("contracts_limit_e2", Big),
    Column("is_auto_cancel_enabled", Big),
    Column("state", Text, nullable=False),
    Column("as_of_us", Big, nullable=False),
    check("state IN ('open', 'triggered', 'deleted')", "state_known"),
    sqlite_strict=True,
)
