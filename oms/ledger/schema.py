"""The ledger's tables, and everything the database itself can hold us to.

`events` is the truth: append-only, hash-chained per order. `orders` and `commands` are its projections (P7). Every
closed set is a CHECK, every "set exactly when" rule is a CHECK, tables are STRICT on SQLite, and every statement is
portable to PostgreSQL. A change here needs a migration in `migrations/versions/`, a new HEAD below, and a test that
moves data through it.

The condition of a partial index is given to SQLite alone: naming PostgreSQL's would import its dialect with every
driver, a tenth of what a start costs; where that is supported, its engine has to set them.

Units are in the names: `_e6` dollars x 10^6, `_e2` contracts x 10^2, `_us` and `_ms` integer UTC times.
"""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text, UniqueConstraint, text

from oms.ledger.account_schema import balances as balances
from oms.ledger.account_schema import breaks as breaks
from oms.ledger.account_schema import external_orders as external_orders
from oms.ledger.account_schema import fills as fills
from oms.ledger.account_schema import markets as markets
from oms.ledger.account_schema import movements as movements
from oms.ledger.account_schema import order_groups as order_groups
from oms.ledger.account_schema import positions as positions
from oms.ledger.account_schema import rate_limits as rate_limits
from oms.ledger.account_schema import settlements as settlements
from oms.ledger.account_schema import untied_positions as untied_positions
from oms.ledger.columns import Big, check, flag, one_of
from oms.ledger.columns import metadata as metadata
from oms.ledger.columns import sql_list as sql_list
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
HEAD = "0004"
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
# Watermarks with this before an order_id: it was seen under the client_order_id of the order whose key is the value,
# beside that order, and no person has looked at it yet.
SECOND = "second "
# The watermark until when (exchange time) a cancel-all that was sent from here may still cancel what is placed.
CANCEL_ALL_TAIL = "cancel_all_tail"

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
    check("id = 1", "single"),
    check("environment IN ('sandbox', 'demo', 'prod')", "environment_known"),
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
    check("(source = 'retry') = (retry_of IS NOT NULL)", "retry_of_set"),
    check("source IN ('file', 'stdin', 'flags', 'api', 'retry')", "source_known"),
    check("state IN ('recording', 'recorded')", "state_known"),
    check("row_count >= 0", "row_count_positive"),
    # At most one at a time; without this every start would walk over all batches to find it.
    Index(
        "ix_batches_recording",
        "key",
        sqlite_where=text("state = 'recording'"),
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
    flag("post_only"),
    flag("reduce_only"),
    flag("own_id"),
    flag("late"),
    flag("terms_elsewhere"),
    check("length(client_order_id) BETWEEN 1 AND 64", "client_order_id_length"),
    check("price_e6 > 0 AND price_e6 < 1000000", "price_inside"),
    check("count_e2 > 0", "count_positive"),
    check("row > 0", "row_positive"),
    check("fill_count_e2 >= 0 AND traded_count_e2 >= 0", "fills_positive"),
    check("reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", "reduce_only_ioc"),
    check(
        "(order_id IS NOT NULL) = (status IN ('resting', 'executed', 'canceled'))",
        "order_id_exactly_when_at_exchange",
    ),
    check("status NOT IN ('rejected', 'unsent') OR reason IS NOT NULL", "ended_has_reason"),
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
    flag("id_taken"),
    check("attempts >= 0", "attempts_positive"),
    check("state NOT IN ('on_wire', 'in_doubt') OR live <> ''", "doubt_has_live_attempt"),
    check("state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", "only_doubt_has_live_attempt"),
    check("(attempts > 0) = (first_signed_ms IS NOT NULL)", "attempt_signed"),
    check("(attempts > 0) = (last_signed_ms IS NOT NULL)", "attempt_signed_last"),
    check("(attempts > 0) = (epoch IS NOT NULL)", "attempt_has_epoch"),
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
    check("n > 0", "n_positive"),
    UniqueConstraint("order_key", "n"),
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
    check("attempts >= 0", "attempts_positive"),
    check("state NOT IN ('on_wire', 'in_doubt') OR live <> ''", "doubt_has_live_attempt"),
    check("state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", "only_doubt_has_live_attempt"),
    Index(
        "ix_actions_unfinished",
        "key",
        sqlite_where=text(UNFINISHED_SQL),
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
    check("n > 0", "n_positive"),
    UniqueConstraint("action_key", "n"),
    sqlite_strict=True,
)

controls = Table(
    "controls",
    metadata,
    Column("name", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at_us", Big, nullable=False),
    check("name IN ('halt')", "name_known"),
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
