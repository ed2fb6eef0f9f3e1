"""The ledger's tables, and everything the database itself can hold us to.

`events` is the truth: append-only, hash-chained per order. `orders` and `commands` are its projections (P7). Every
closed set is a CHECK, every "set exactly when" rule is a CHECK, tables are STRICT on SQLite, and every statement is
portable to PostgreSQL. A change here needs a migration in `migrations/versions/`, a new HEAD below, and a test that
moves data through it.

Units are in the names: `_e6` dollars x 10^6, `_e2` contracts x 10^2, `_us` and `_ms` integer UTC times.
"""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.sqlite import INTEGER

from oms.lifecycle.states import (
    UNFINISHED,
    Action,
    ActionKind,
    CommandKind,
    CommandState,
    OrderStatus,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

# The revision that these tables are at. A test holds it equal to the head of migrations/.
HEAD = "0002"
# "OMSL" in ASCII: SQLite's header field that says whose file this is.
APPLICATION_ID = 0x4F4D534C
# The watermark that the account's orders were read up to then (exchange time); a copy of a ledger loses it.
ACCOUNT_READ = "account_read"
# The watermark that this ledger may be older than what was sent from it: set where it was restored, copied or put in
# the place of another, until the account was read past everything that can still have been on its way.
SET_BACK = "set_back"
# Watermarks with this before a batch_head: the exchange had shown orders of that batch, or retries of it, before it was
# recorded here (the file of a lost ledger again); when the first of them was created. Nothing of it is claimed before
# the account was read once more from there.
STRANGE = "strange "

# STRICT refuses BIGINT, and a plain INTEGER is 32 bits on PostgreSQL.
Big = BigInteger().with_variant(INTEGER(), "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def sql_list(words: Iterable[str]) -> str:
    """A literal SQL list of words; literal because a bound IN hides a partial index from SQLite's planner."""
    return "(" + ", ".join(f"'{w}'" for w in words) + ")"


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN {sql_list(words)}", name=f"{column}_known")


def _flag(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN (0, 1)", name=f"{column}_flag")


def _check(rule: str, name: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)


UNFINISHED_SQL = f"state IN {sql_list(UNFINISHED)}"
ANY_STRANGE_SQL = f"EXISTS (SELECT 1 FROM watermarks WHERE name > '{STRANGE}' AND name < '{STRANGE}g')"  # noqa: S608
# The batch_head of ids derived from a batch key: its first 56 bits, in hex.
IS_STRANGE_SQL = f"EXISTS (SELECT 1 FROM watermarks WHERE name = '{STRANGE}' || substr(batches.batch_key, 1, 14))"  # noqa: S608
STRANGE_QUEUED_SQL = (
    "SELECT watermarks.name, watermarks.value_ms FROM (SELECT DISTINCT batch_key FROM commands"  # noqa: S608
    f" WHERE {UNFINISHED_SQL} AND state = 'queued' AND kind = 'create') AS queued"
    " JOIN batches ON batches.key = queued.batch_key"
    f" JOIN watermarks ON watermarks.name = '{STRANGE}' || substr(batches.batch_key, 1, 14) WHERE {ANY_STRANGE_SQL}"
)

ledger = Table(
    "ledger",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("ledger_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("host", Text),  # of the exchange; set by the first run that connects
    Column("user_id", Text),  # the exchange's, learned from the first order read
    Column("epoch", Big, nullable=False),  # the newest one; checked inside every claim
    Column("created_at_us", Big, nullable=False),
    _check("id = 1", "single"),
    _check("environment IN ('sandbox', 'demo', 'prod')", "environment_known"),
    sqlite_strict=True,
)

epochs = Table(
    "epochs",
    metadata,
    Column("epoch", Big, primary_key=True, autoincrement=False),
    Column("opened_at_us", Big, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("pid", Big, nullable=False),
    Column("key_print", Text),  # a fingerprint of the API key id, never the key: who sent
    sqlite_strict=True,
)

batches = Table(
    "batches",
    metadata,
    Column("key", Big, primary_key=True),
    Column("batch_key", Text, nullable=False, unique=True),
    Column("name", Text),
    Column("source", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("row_count", Big, nullable=False),
    Column("created_at_us", Big, nullable=False),
    Column("retry_of", Text),  # batch_key of the batch that was first, however often it was retried
    _check("(source = 'retry') = (retry_of IS NOT NULL)", "retry_of_set"),
    _check("source IN ('file', 'stdin', 'flags', 'api', 'retry')", "source_known"),
    _check("state IN ('recording', 'recorded')", "state_known"),
    _check("row_count >= 0", "row_count_positive"),
    # At most one at a time; without this every start would walk over all batches to find it.
    Index(
        "ix_batches_recording",
        "key",
        sqlite_where=text("state = 'recording'"),
        postgresql_where=text("state = 'recording'"),
    ),
    sqlite_strict=True,
)

orders = Table(
    "orders",
    metadata,
    Column("key", Big, primary_key=True),
    Column("client_order_id", Text, nullable=False, unique=True),
    Column("batch_key", Big, ForeignKey("batches.key"), nullable=False),
    Column("row", Big, nullable=False),
    # the intent, fixed for ever
    Column("ticker", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("price_e6", Big, nullable=False),
    Column("count_e2", Big, nullable=False),
    Column("time_in_force", Text, nullable=False),
    Column("self_trade_prevention_type", Text, nullable=False),
    Column("post_only", Big, nullable=False),
    Column("reduce_only", Big, nullable=False),
    Column("expiration_time", Big),
    Column("subaccount", Big),
    Column("order_group_id", Text),
    Column("action", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("own_id", Big, nullable=False),
    Column("tag", Text),
    Column("submit_before_us", Big),
    Column("row_digest", LargeBinary, nullable=False),  # of the wire fields without the row number
    Column("created_at_us", Big, nullable=False),
    # the projection of its events
    Column("status", Text, nullable=False),
    Column("order_id", Text),
    # What rests under this order now: as recorded, or as amended since, by us or elsewhere.
    Column("working_price_e6", Big, nullable=False),
    Column("working_count_e2", Big, nullable=False),
    Column("terms_elsewhere", Big, nullable=False),  # the working terms are nothing that this ledger asked for
    Column("fill_count_e2", Big, nullable=False),
    Column("remaining_count_e2", Big),
    Column("average_fill_price_e6", Big),
    Column("fees_e6", Big),
    Column("traded_count_e2", Big, nullable=False),
    Column("traded_value_e8", Big, nullable=False),
    Column("traded_fees_e6", Big, nullable=False),
    Column("fact_ts_ms", Big, nullable=False),
    Column("created_ts_ms", Big),
    Column("late", Big, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("sent_at_us", Big),
    Column("updated_at_us", Big, nullable=False),
    Column("event_count", Big, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    one_of("side", Side),
    one_of("time_in_force", TimeInForce),
    one_of("self_trade_prevention_type", SelfTradePrevention),
    one_of("action", Action),
    one_of("outcome", Outcome),
    one_of("status", OrderStatus),
    one_of("reason", Reason),
    _flag("post_only"),
    _flag("reduce_only"),
    _flag("own_id"),
    _flag("late"),
    _flag("terms_elsewhere"),
    _check("length(client_order_id) BETWEEN 1 AND 64", "client_order_id_length"),
    _check("price_e6 > 0 AND price_e6 < 1000000", "price_inside"),
    _check("count_e2 > 0", "count_positive"),
    _check("row > 0", "row_positive"),
    _check("fill_count_e2 >= 0 AND traded_count_e2 >= 0", "fills_positive"),
    _check("reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", "reduce_only_ioc"),
    _check(
        "(order_id IS NOT NULL) = (status IN ('resting', 'executed', 'canceled'))",
        "order_id_exactly_when_at_exchange",
    ),
    _check("status NOT IN ('rejected', 'unsent') OR reason IS NOT NULL", "ended_has_reason"),
    UniqueConstraint("batch_key", "row"),
    Index("ux_orders_order_id", "order_id", unique=True, sqlite_where=text("order_id IS NOT NULL")),
    Index("ix_orders_resting", "key", sqlite_where=text("status = 'resting'")),
    Index("ix_orders_created_ts_ms", "created_ts_ms", sqlite_where=text("created_ts_ms IS NOT NULL")),
    # Filled, and not all of its trades were shown yet.
    Index("ix_orders_untraded", "created_ts_ms", sqlite_where=text("traded_count_e2 < fill_count_e2")),
    sqlite_strict=True,
)

commands = Table(
    "commands",
    metadata,
    Column("key", Big, primary_key=True),
    Column("order_key", Big, ForeignKey("orders.key"), nullable=False),
    Column("batch_key", Big, nullable=False),  # of its order: what a run may send is asked by batch
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Big, nullable=False),
    Column("live", Text, nullable=False),  # "1,3": attempts without a definite outcome
    Column("id_taken", Big, nullable=False),
    Column("epoch", Big),
    Column("first_signed_ms", Big),
    Column("last_signed_ms", Big),
    Column("not_before_us", Big, nullable=False),
    Column("expires_at_us", Big),  # not to be sent from then on: submit_before, or the time to live
    Column("reason", Text),
    Column("detail", Text),
    Column("recorded_seq", Big, nullable=False),  # the event that holds the exact body
    Column("digest", LargeBinary, nullable=False),  # of that body
    Column("created_at_us", Big, nullable=False),
    Column("updated_at_us", Big, nullable=False),
    one_of("kind", CommandKind),
    one_of("state", CommandState),
    one_of("reason", Reason),
    _flag("id_taken"),
    _check("attempts >= 0", "attempts_positive"),
    _check("state NOT IN ('on_wire', 'in_doubt') OR live <> ''", "doubt_has_live_attempt"),
    _check("state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", "only_doubt_has_live_attempt"),
    _check("(attempts > 0) = (first_signed_ms IS NOT NULL)", "attempt_signed"),
    _check("(attempts > 0) = (last_signed_ms IS NOT NULL)", "attempt_signed_last"),
    _check("(attempts > 0) = (epoch IS NOT NULL)", "attempt_has_epoch"),
    Index("ix_commands_order_key", "order_key"),
    Index(
        "ix_commands_unfinished",
        "state",
        "kind",
        "batch_key",
        "key",
        "not_before_us",
        "expires_at_us",
        sqlite_where=text(UNFINISHED_SQL),
        postgresql_where=text(UNFINISHED_SQL),
    ),
    sqlite_strict=True,
)

events = Table(
    "events",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("order_key", Big, ForeignKey("orders.key"), nullable=False),
    Column("n", Big, nullable=False),  # 1, 2, 3 ... within its order
    Column("command_key", Big),  # the command it is about; NULL for facts about the order alone
    Column("epoch", Big),  # of the run that recorded it; NULL for recording itself
    Column("at_us", Big, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),  # canonical JSON
    Column("hash", LargeBinary, nullable=False),  # over the one before it and all columns above but seq
    _check("n > 0", "n_positive"),
    UniqueConstraint("order_key", "n"),
    sqlite_strict=True,
)

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
    _flag("is_taker"),
    _check("count_e2 > 0", "count_positive"),
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
    _check("state IN ('open', 'triggered', 'deleted')", "state_known"),
    sqlite_strict=True,
)

# Requests about no order of ours: cancel all, cancel somebody else's order, order groups. What `commands` is to orders:
# a projection of `action_events`, which are chained per action.
actions = Table(
    "actions",
    metadata,
    Column("key", Big, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),  # order_id, order_group_id or its name here; "" for the whole account
    Column("ticker", Text),
    Column("subaccount", Big),
    Column("body", Text, nullable=False),  # exactly what every attempt sends
    Column("state", Text, nullable=False),
    Column("attempts", Big, nullable=False),
    Column("live", Text, nullable=False),
    Column("epoch", Big),
    Column("first_signed_ms", Big),
    Column("last_signed_ms", Big),
    Column("not_before_us", Big, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("created_at_us", Big, nullable=False),
    Column("updated_at_us", Big, nullable=False),
    Column("event_count", Big, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    one_of("kind", ActionKind),
    one_of("state", CommandState),
    one_of("reason", Reason),
    _check("attempts >= 0", "attempts_positive"),
    _check("state NOT IN ('on_wire', 'in_doubt') OR live <> ''", "doubt_has_live_attempt"),
    _check("state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", "only_doubt_has_live_attempt"),
    Index(
        "ix_actions_unfinished",
        "key",
        sqlite_where=text(UNFINISHED_SQL),
        postgresql_where=text(UNFINISHED_SQL),
    ),
    sqlite_strict=True,
)

action_events = Table(
    "action_events",
    metadata,
    Column("seq", Big, primary_key=True),
    Column("action_key", Big, ForeignKey("actions.key"), nullable=False),
    Column("n", Big, nullable=False),
    Column("epoch", Big),
    Column("at_us", Big, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    _check("n > 0", "n_positive"),
    UniqueConstraint("action_key", "n"),
    sqlite_strict=True,
)

controls = Table(
    "controls",
    metadata,
    Column("name", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at_us", Big, nullable=False),
    _check("name IN ('halt')", "name_known"),
    sqlite_strict=True,
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value_ms", Big, nullable=False),
    Column("at_us", Big, nullable=False),
    sqlite_strict=True,
)

# Orders that the exchange has shown under an id that this ledger did not know: another program's, or a lost ledger's.
# What is recorded later is held against them; see strangers.py.
strangers = Table(
    "strangers",
    metadata,
    Column("client_order_id", Text, primary_key=True),
    Column("batch_head", Text),  # where oms derived the id: of the batch it was derived from
    Column("order_id", Text, nullable=False),
    Column("created_ts_ms", Big, nullable=False),
    Column("stands_for", Text),  # the client_order_id of a row here of which it was a retry
    sqlite_strict=True,
)
Index("ix_strangers_batch_head", strangers.c.batch_head)

# One row, alembic's own table: made here too, so that a fresh ledger needs no alembic.
alembic_version = Table(
    "alembic_version",
    metadata,
    Column("version_num", Text, primary_key=True),
    sqlite_strict=True,
)
