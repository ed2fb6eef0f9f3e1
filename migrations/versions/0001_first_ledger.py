"""The first ledger: every table, rule and index of it.

Frozen: it repeats every word and rule it needs and imports nothing of oms. A ledger is normally made straight from
`oms/ledger/schema.py` and stamped; a test holds the two equal.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
REASONS = (
    "reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'retried', 'halted', 'proven_absent', "
    "'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'waiting', "
    "'resolved_by_hand')"
)


def upgrade() -> None:
    """Make the tables, parents first, and say whose file it is ("OMSL" in ASCII)."""
    _ledger()
    _epochs()
    _batches()
    _orders()
    _commands()
    _events()
    _fills()
    _positions()
    _settlements()
    _balances()
    _controls()
    _watermarks()
    _strangers()
    op.execute("PRAGMA application_id = 1330467660")


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", Big, autoincrement=False, nullable=False),
        sa.Column("ledger_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("host", sa.Text()),
        sa.Column("user_id", sa.Text()),
        sa.Column("epoch", Big, nullable=False),
        sa.Column("created_at_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.CheckConstraint("id = 1", name="ck_ledger_single"),
        sa.CheckConstraint("environment IN ('sandbox', 'demo', 'prod')", name="ck_ledger_environment_known"),
        sqlite_strict=True,
    )


def _epochs() -> None:
    op.create_table(
        "epochs",
        sa.Column("epoch", Big, autoincrement=False, nullable=False),
        sa.Column("opened_at_us", Big, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("pid", Big, nullable=False),
        sa.Column("key_print", sa.Text()),
        sa.PrimaryKeyConstraint("epoch", name="pk_epochs"),
        sqlite_strict=True,
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("key", Big, nullable=False),
        sa.Column("batch_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("row_count", Big, nullable=False),
        sa.Column("created_at_us", Big, nullable=False),
        sa.Column("retry_of", sa.Text()),
        sa.PrimaryKeyConstraint("key", name="pk_batches"),
        sa.UniqueConstraint("batch_key", name="uq_batches_batch_key"),
        sa.CheckConstraint("source IN ('file', 'stdin', 'flags', 'api', 'retry')", name="ck_batches_source_known"),
        sa.CheckConstraint("state IN ('recording', 'recorded')", name="ck_batches_state_known"),
        sa.CheckConstraint("row_count >= 0", name="ck_batches_row_count_positive"),
        sa.CheckConstraint("(source = 'retry') = (retry_of IS NOT NULL)", name="ck_batches_retry_of_set"),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_batches_recording",
        "batches",
        ["key"],
        sqlite_where=sa.text("state = 'recording'"),
        postgresql_where=sa.text("state = 'recording'"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        *_orders_intent(),
        *_orders_projection(),
        *_orders_rules(),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_orders_created_ts_ms", "orders", ["created_ts_ms"], sqlite_where=sa.text("created_ts_ms IS NOT NULL")
    )
    op.create_index(
        "ix_orders_untraded", "orders", ["created_ts_ms"], sqlite_where=sa.text("traded_count_e2 < fill_count_e2")
    )
    op.create_index("ix_orders_resting", "orders", ["key"], sqlite_where=sa.text("status = 'resting'"))
    op.create_index(
        "ux_orders_order_id", "orders", ["order_id"], unique=True, sqlite_where=sa.text("order_id IS NOT NULL")
    )


def _orders_intent() -> Iterator[sa.Column[Any]]:
    yield sa.Column("key", Big, nullable=False)
    yield sa.Column("client_order_id", sa.Text(), nullable=False)
    yield sa.Column("batch_key", Big, nullable=False)
    yield sa.Column("row", Big, nullable=False)
    yield sa.Column("ticker", sa.Text(), nullable=False)
    yield sa.Column("side", sa.Text(), nullable=False)
    yield sa.Column("price_e6", Big, nullable=False)
    yield sa.Column("count_e2", Big, nullable=False)
    yield sa.Column("time_in_force", sa.Text(), nullable=False)
    yield sa.Column("self_trade_prevention_type", sa.Text(), nullable=False)
    yield sa.Column("post_only", Big, nullable=False)
    yield sa.Column("reduce_only", Big, nullable=False)
    yield sa.Column("expiration_time", Big)
    yield sa.Column("subaccount", Big)
    yield sa.Column("action", sa.Text(), nullable=False)
    yield sa.Column("outcome", sa.Text(), nullable=False)
    yield sa.Column("own_id", Big, nullable=False)
    yield sa.Column("tag", sa.Text())
    yield sa.Column("submit_before_us", Big)
    yield sa.Column("row_digest", sa.LargeBinary(), nullable=False)
    yield sa.Column("created_at_us", Big, nullable=False)


def _orders_projection() -> Iterator[sa.Column[Any]]:
    yield sa.Column("status", sa.Text(), nullable=False)
    yield sa.Column("order_id", sa.Text())
    yield sa.Column("fill_count_e2", Big, nullable=False)
    yield sa.Column("remaining_count_e2", Big)
    yield sa.Column("average_fill_price_e6", Big)
    yield sa.Column("fees_e6", Big)
    yield sa.Column("traded_count_e2", Big, nullable=False)
    yield sa.Column("traded_value_e8", Big, nullable=False)
    yield sa.Column("traded_fees_e6", Big, nullable=False)
    yield sa.Column("fact_ts_ms", Big, nullable=False)
    yield sa.Column("created_ts_ms", Big)
    yield sa.Column("late", Big, nullable=False)
    yield sa.Column("reason", sa.Text())
    yield sa.Column("detail", sa.Text())
    yield sa.Column("sent_at_us", Big)
    yield sa.Column("updated_at_us", Big, nullable=False)
    yield sa.Column("event_count", Big, nullable=False)
    yield sa.Column("chain_hash", sa.LargeBinary(), nullable=False)


def _orders_rules() -> Iterator[sa.Constraint]:
    yield sa.PrimaryKeyConstraint("key", name="pk_orders")
    yield sa.ForeignKeyConstraint(["batch_key"], ["batches.key"], name="fk_orders_batch_key")
    yield sa.UniqueConstraint("batch_key", "row", name="uq_orders_batch_key_row")
    yield sa.UniqueConstraint("client_order_id", name="uq_orders_client_order_id")
    yield sa.CheckConstraint("side IN ('bid', 'ask')", name="ck_orders_side_known")
    yield sa.CheckConstraint(
        "time_in_force IN ('good_till_canceled', 'immediate_or_cancel', 'fill_or_kill')",
        name="ck_orders_time_in_force_known",
    )
    yield sa.CheckConstraint(
        "self_trade_prevention_type IN ('taker_at_cross', 'maker')", name="ck_orders_self_trade_prevention_type_known"
    )
    yield sa.CheckConstraint("action IN ('buy', 'sell')", name="ck_orders_action_known")
    yield sa.CheckConstraint("outcome IN ('yes', 'no')", name="ck_orders_outcome_known")
    yield sa.CheckConstraint(
        "status IN ('pending', 'resting', 'executed', 'canceled', 'rejected', 'unsent')", name="ck_orders_status_known"
    )
    yield sa.CheckConstraint(REASONS, name="ck_orders_reason_known")
    yield sa.CheckConstraint("post_only IN (0, 1)", name="ck_orders_post_only_flag")
    yield sa.CheckConstraint("reduce_only IN (0, 1)", name="ck_orders_reduce_only_flag")
    yield sa.CheckConstraint("own_id IN (0, 1)", name="ck_orders_own_id_flag")
    yield sa.CheckConstraint("late IN (0, 1)", name="ck_orders_late_flag")
    yield sa.CheckConstraint("length(client_order_id) BETWEEN 1 AND 64", name="ck_orders_client_order_id_length")
    yield sa.CheckConstraint("price_e6 > 0 AND price_e6 < 1000000", name="ck_orders_price_inside")
    yield sa.CheckConstraint("count_e2 > 0", name="ck_orders_count_positive")
    yield sa.CheckConstraint("row > 0", name="ck_orders_row_positive")
    yield sa.CheckConstraint("fill_count_e2 >= 0 AND traded_count_e2 >= 0", name="ck_orders_fills_positive")
    yield sa.CheckConstraint(
        "reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", name="ck_orders_reduce_only_ioc"
    )
    yield sa.CheckConstraint(
        "(order_id IS NOT NULL) = (status IN ('resting', 'executed', 'canceled'))",
        name="ck_orders_order_id_exactly_when_at_exchange",
    )
    yield sa.CheckConstraint(
        "status NOT IN ('rejected', 'unsent') OR reason IS NOT NULL", name="ck_orders_ended_has_reason"
    )


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("key", Big, nullable=False),
        sa.Column("order_key", Big, nullable=False),
        sa.Column("batch_key", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", Big, nullable=False),
        sa.Column("live", sa.Text(), nullable=False),
        sa.Column("id_taken", Big, nullable=False),
        sa.Column("epoch", Big),
        sa.Column("first_signed_ms", Big),
        sa.Column("last_signed_ms", Big),
        sa.Column("not_before_us", Big, nullable=False),
        sa.Column("expires_at_us", Big),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("recorded_seq", Big, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_us", Big, nullable=False),
        sa.Column("updated_at_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_commands"),
        sa.ForeignKeyConstraint(["order_key"], ["orders.key"], name="fk_commands_order_key"),
        sa.CheckConstraint("kind IN ('create', 'cancel')", name="ck_commands_kind_known"),
        sa.CheckConstraint(
            "state IN ('queued', 'on_wire', 'in_doubt', 'accepted', 'refused', 'withdrawn', 'absent', 'parked')",
            name="ck_commands_state_known",
        ),
        sa.CheckConstraint(REASONS, name="ck_commands_reason_known"),
        sa.CheckConstraint("id_taken IN (0, 1)", name="ck_commands_id_taken_flag"),
        sa.CheckConstraint("attempts >= 0", name="ck_commands_attempts_positive"),
        sa.CheckConstraint(
            "state NOT IN ('on_wire', 'in_doubt') OR live <> ''", name="ck_commands_doubt_has_live_attempt"
        ),
        sa.CheckConstraint(
            "state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", name="ck_commands_only_doubt_has_live_attempt"
        ),
        sa.CheckConstraint("(attempts > 0) = (first_signed_ms IS NOT NULL)", name="ck_commands_attempt_signed"),
        sa.CheckConstraint("(attempts > 0) = (last_signed_ms IS NOT NULL)", name="ck_commands_attempt_signed_last"),
        sa.CheckConstraint("(attempts > 0) = (epoch IS NOT NULL)", name="ck_commands_attempt_has_epoch"),
        sqlite_strict=True,
    )
    op.create_index("ix_commands_order_key", "commands", ["order_key"])
    op.create_index(
        "ix_commands_unfinished",
        "commands",
        ["state", "kind", "batch_key", "key", "not_before_us", "expires_at_us"],
        sqlite_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
        postgresql_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", Big, nullable=False),
        sa.Column("order_key", Big, nullable=False),
        sa.Column("n", Big, nullable=False),
        sa.Column("command_key", Big),
        sa.Column("epoch", Big),
        sa.Column("at_us", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.ForeignKeyConstraint(["order_key"], ["orders.key"], name="fk_events_order_key"),
        sa.UniqueConstraint("order_key", "n", name="uq_events_order_key_n"),
        sa.CheckConstraint("n > 0", name="ck_events_n_positive"),
        sqlite_strict=True,
    )


def _fills() -> None:
    op.create_table(
        "fills",
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("order_key", Big, nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("count_e2", Big, nullable=False),
        sa.Column("price_e6", Big, nullable=False),
        sa.Column("fee_e6", Big, nullable=False),
        sa.Column("is_taker", Big, nullable=False),
        sa.Column("ts_ms", Big, nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name="pk_fills"),
        sa.ForeignKeyConstraint(["order_key"], ["orders.key"], name="fk_fills_order_key"),
        sa.CheckConstraint("side IN ('bid', 'ask')", name="ck_fills_side_known"),
        sa.CheckConstraint("is_taker IN (0, 1)", name="ck_fills_is_taker_flag"),
        sa.CheckConstraint("count_e2 > 0", name="ck_fills_count_positive"),
        sqlite_strict=True,
    )
    op.create_index("ix_fills_order_key", "fills", ["order_key"])


def _positions() -> None:
    op.create_table(
        "positions",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Big, autoincrement=False, nullable=False),
        sa.Column("position_e2", Big, nullable=False),
        sa.Column("exposure_e6", Big, nullable=False),
        sa.Column("realized_pnl_e6", Big, nullable=False),
        sa.Column("fees_e6", Big, nullable=False),
        sa.Column("as_of_ms", Big, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "subaccount", name="pk_positions"),
        sqlite_strict=True,
    )


def _settlements() -> None:
    op.create_table(
        "settlements",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("settled_time", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("revenue_e6", Big, nullable=False),
        sa.Column("fee_e6", Big, nullable=False),
        sa.Column("as_of_ms", Big, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "settled_time", name="pk_settlements"),
        sqlite_strict=True,
    )


def _balances() -> None:
    op.create_table(
        "balances",
        sa.Column("subaccount", Big, autoincrement=False, nullable=False),
        sa.Column("balance_e6", Big, nullable=False),
        sa.Column("portfolio_value_e6", Big, nullable=False),
        sa.Column("as_of_ms", Big, nullable=False),
        sa.PrimaryKeyConstraint("subaccount", name="pk_balances"),
        sqlite_strict=True,
    )


def _controls() -> None:
    op.create_table(
        "controls",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_controls"),
        sa.CheckConstraint("name IN ('halt')", name="ck_controls_name_known"),
        sqlite_strict=True,
    )


def _watermarks() -> None:
    op.create_table(
        "watermarks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value_ms", Big, nullable=False),
        sa.Column("at_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watermarks"),
        sqlite_strict=True,
    )


def _strangers() -> None:
    op.create_table(
        "strangers",
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("batch_head", sa.Text()),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("created_ts_ms", Big, nullable=False),
        sa.Column("stands_for", sa.Text()),
        sa.PrimaryKeyConstraint("client_order_id", name="pk_strangers"),
        sqlite_strict=True,
    )
    op.create_index("ix_strangers_batch_head", "strangers", ["batch_head"])
