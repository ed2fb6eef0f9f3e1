"""The whole life of an order, and the account: amends and decreases, trades and orders made elsewhere, settlements.

Frozen, as every revision: it imports nothing of oms. Tables whose rules change are made anew and filled from the old
ones, all inside the transaction of the upgrade. What an order rests at now (`working_...`) follows from its events.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
REASONS = (
    "reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'retried', 'halted', 'proven_absent', "
    "'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'superseded', "
    "'limit', 'waiting', 'resolved_by_hand', 'expiry', 'market_closed', 'order_group', 'cancel_all', "
    "'canceled_elsewhere')"
)
STATES = "state IN ('queued', 'on_wire', 'in_doubt', 'accepted', 'refused', 'withdrawn', 'absent', 'parked')"


def upgrade() -> None:
    """Rebuild what changes, then make what is new."""
    _orders()
    _working_terms()
    _commands()
    _fills()
    op.drop_table("settlements")  # nothing has ever been written there
    _settlements()
    _balances()
    _markets()
    _external_orders()
    _breaks()
    _order_groups()
    _actions()
    _action_events()


def _replace(table: str, **new: str) -> None:
    """Fill `new_TABLE` from the old one, the columns of `new` by these expressions; it takes the old one's name."""
    connection = op.get_bind()
    columns = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
    names = ", ".join([*columns, *new])
    values = ", ".join([*columns, *new.values()])
    op.execute(f"INSERT INTO new_{table} ({names}) SELECT {values} FROM {table}")  # noqa: S608 - names are ours
    op.drop_table(table)
    op.rename_table(f"new_{table}", table)


def _working_terms() -> None:
    """What a reading has shown at other terms than recorded was amended elsewhere; the newest reading counts."""
    connection = op.get_bind()
    for key, price_e6, count_e2 in connection.execute(sa.text(_READ)).all():
        working = (price_e6, count_e2)
        history = connection.execute(sa.text(_HISTORY), {"key": key})
        for price, count in _shown((kind, json.loads(data)) for kind, data in history):
            working = (price, working[1] if count is None else count)
        if working != (price_e6, count_e2):
            connection.execute(sa.text(_AMENDED), {"key": key, "price": working[0], "count": working[1]})


_READ = """
SELECT key, price_e6, count_e2 FROM orders
WHERE key IN (SELECT order_key FROM events WHERE kind IN ('found', 'observed', 'effect_seen'))
"""
_HISTORY = "SELECT kind, data FROM events WHERE order_key = :key ORDER BY n"
_AMENDED = (
    "UPDATE orders SET working_price_e6 = :price, working_count_e2 = :count, terms_elsewhere = 1 WHERE key = :key"
)


def _shown(history: Iterator[tuple[str, Any]]) -> Iterator[tuple[int, int | None]]:
    """(price, count) of every reading that counted; no count where it tells only what had been filled of it."""
    order_id, fact_ms, has_ended = None, 0, False
    for kind, data in history:
        if kind == "acknowledged":
            order_id, fact_ms = data["order_id"], max(fact_ms, data["ts_ms"])
            has_ended = data["remaining_count_e2"] <= 0
        elif kind == "cancel_acknowledged" and data["reduced_by_e2"] > 0:
            has_ended, fact_ms = True, max(fact_ms, data.get("ts_ms") or 0)
        elif kind in ("found", "observed", "effect_seen"):
            seen = data["order"]
            if order_id is not None and (seen["order_id"] != order_id or data["as_of_ms"] < fact_ms):
                continue
            order_id, fact_ms = seen["order_id"], max(fact_ms, seen.get("updated_ts_ms") or 0)
            has_ended = has_ended or seen["status"] != "resting"
            is_whole = not has_ended and seen["remaining_count_e2"] > 0
            counts = is_whole or seen["status"] == "executed"
            yield seen["price_e6"], seen["fill_count_e2"] + seen["remaining_count_e2"] if counts else None


def _orders() -> None:
    op.create_table(
        "new_orders",
        sa.Column("key", Big, nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("batch_key", Big, nullable=False),
        sa.Column("row", Big, nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price_e6", Big, nullable=False),
        sa.Column("count_e2", Big, nullable=False),
        sa.Column("time_in_force", sa.Text(), nullable=False),
        sa.Column("self_trade_prevention_type", sa.Text(), nullable=False),
        sa.Column("post_only", Big, nullable=False),
        sa.Column("reduce_only", Big, nullable=False),
        sa.Column("expiration_time", Big),
        sa.Column("subaccount", Big),
        sa.Column("order_group_id", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("own_id", Big, nullable=False),
        sa.Column("tag", sa.Text()),
        sa.Column("submit_before_us", Big),
        sa.Column("row_digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at_us", Big, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text()),
        sa.Column("working_price_e6", Big, nullable=False),
        sa.Column("working_count_e2", Big, nullable=False),
        sa.Column("terms_elsewhere", Big, nullable=False),
        sa.Column("fill_count_e2", Big, nullable=False),
        sa.Column("remaining_count_e2", Big),
        sa.Column("average_fill_price_e6", Big),
        sa.Column("fees_e6", Big),
        sa.Column("traded_count_e2", Big, nullable=False),
        sa.Column("traded_value_e8", Big, nullable=False),
        sa.Column("traded_fees_e6", Big, nullable=False),
        sa.Column("fact_ts_ms", Big, nullable=False),
        sa.Column("created_ts_ms", Big),
        sa.Column("late", Big, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("sent_at_us", Big),
        sa.Column("updated_at_us", Big, nullable=False),
        sa.Column("event_count", Big, nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_orders"),
        sa.ForeignKeyConstraint(["batch_key"], ["batches.key"], name="fk_orders_batch_key"),
        sa.UniqueConstraint("batch_key", "row", name="uq_orders_batch_key_row"),
        sa.UniqueConstraint("client_order_id", name="uq_orders_client_order_id"),
        sa.CheckConstraint("action IN ('buy', 'sell')", name="ck_orders_action_known"),
        sa.CheckConstraint("length(client_order_id) BETWEEN 1 AND 64", name="ck_orders_client_order_id_length"),
        sa.CheckConstraint("count_e2 > 0", name="ck_orders_count_positive"),
        sa.CheckConstraint(
            "status NOT IN ('rejected', 'unsent') OR reason IS NOT NULL", name="ck_orders_ended_has_reason"
        ),
        sa.CheckConstraint("fill_count_e2 >= 0 AND traded_count_e2 >= 0", name="ck_orders_fills_positive"),
        sa.CheckConstraint("late IN (0, 1)", name="ck_orders_late_flag"),
        sa.CheckConstraint(
            "(order_id IS NOT NULL) = (status IN ('resting', 'executed', 'canceled'))",
            name="ck_orders_order_id_exactly_when_at_exchange",
        ),
        sa.CheckConstraint("outcome IN ('yes', 'no')", name="ck_orders_outcome_known"),
        sa.CheckConstraint("own_id IN (0, 1)", name="ck_orders_own_id_flag"),
        sa.CheckConstraint("post_only IN (0, 1)", name="ck_orders_post_only_flag"),
        sa.CheckConstraint("price_e6 > 0 AND price_e6 < 1000000", name="ck_orders_price_inside"),
        sa.CheckConstraint(REASONS, name="ck_orders_reason_known"),
        sa.CheckConstraint("reduce_only IN (0, 1)", name="ck_orders_reduce_only_flag"),
        sa.CheckConstraint(
            "reduce_only = 0 OR time_in_force = 'immediate_or_cancel'", name="ck_orders_reduce_only_ioc"
        ),
        sa.CheckConstraint("row > 0", name="ck_orders_row_positive"),
        sa.CheckConstraint(
            "self_trade_prevention_type IN ('taker_at_cross', 'maker')",
            name="ck_orders_self_trade_prevention_type_known",
        ),
        sa.CheckConstraint("side IN ('bid', 'ask')", name="ck_orders_side_known"),
        sa.CheckConstraint(
            "status IN ('pending', 'resting', 'executed', 'canceled', 'rejected', 'unsent')",
            name="ck_orders_status_known",
        ),
        sa.CheckConstraint("terms_elsewhere IN (0, 1)", name="ck_orders_terms_elsewhere_flag"),
        sa.CheckConstraint(
            "time_in_force IN ('good_till_canceled', 'immediate_or_cancel', 'fill_or_kill')",
            name="ck_orders_time_in_force_known",
        ),
        sqlite_strict=True,
    )
    _replace("orders", working_price_e6="price_e6", working_count_e2="count_e2", terms_elsewhere="0")
    op.create_index(
        "ix_orders_created_ts_ms", "orders", ["created_ts_ms"], sqlite_where=sa.text("created_ts_ms IS NOT NULL")
    )
    op.create_index("ix_orders_resting", "orders", ["key"], sqlite_where=sa.text("status = 'resting'"))
    op.create_index(
        "ix_orders_untraded", "orders", ["created_ts_ms"], sqlite_where=sa.text("traded_count_e2 < fill_count_e2")
    )
    op.create_index(
        "ux_orders_order_id", "orders", ["order_id"], unique=True, sqlite_where=sa.text("order_id IS NOT NULL")
    )


def _commands() -> None:
    op.create_table(
        "new_commands",
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
        sa.CheckConstraint("(attempts > 0) = (epoch IS NOT NULL)", name="ck_commands_attempt_has_epoch"),
        sa.CheckConstraint("(attempts > 0) = (first_signed_ms IS NOT NULL)", name="ck_commands_attempt_signed"),
        sa.CheckConstraint("(attempts > 0) = (last_signed_ms IS NOT NULL)", name="ck_commands_attempt_signed_last"),
        sa.CheckConstraint("attempts >= 0", name="ck_commands_attempts_positive"),
        sa.CheckConstraint(
            "state NOT IN ('on_wire', 'in_doubt') OR live <> ''", name="ck_commands_doubt_has_live_attempt"
        ),
        sa.CheckConstraint("id_taken IN (0, 1)", name="ck_commands_id_taken_flag"),
        sa.CheckConstraint("kind IN ('create', 'cancel', 'amend', 'decrease')", name="ck_commands_kind_known"),
        sa.CheckConstraint(
            "state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", name="ck_commands_only_doubt_has_live_attempt"
        ),
        sa.CheckConstraint(REASONS, name="ck_commands_reason_known"),
        sa.CheckConstraint(STATES, name="ck_commands_state_known"),
        sqlite_strict=True,
    )
    _replace("commands")
    op.create_index("ix_commands_order_key", "commands", ["order_key"])
    op.create_index(
        "ix_commands_unfinished",
        "commands",
        ["state", "kind", "batch_key", "key", "not_before_us", "expires_at_us"],
        sqlite_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
        postgresql_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
    )


def _fills() -> None:
    op.create_table(
        "new_fills",
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("order_key", Big),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("count_e2", Big, nullable=False),
        sa.Column("price_e6", Big, nullable=False),
        sa.Column("fee_e6", Big, nullable=False),
        sa.Column("is_taker", Big, nullable=False),
        sa.Column("ts_ms", Big, nullable=False),
        sa.Column("subaccount", Big),
        sa.PrimaryKeyConstraint("trade_id", name="pk_fills"),
        sa.ForeignKeyConstraint(["order_key"], ["orders.key"], name="fk_fills_order_key"),
        sa.CheckConstraint("count_e2 > 0", name="ck_fills_count_positive"),
        sa.CheckConstraint("is_taker IN (0, 1)", name="ck_fills_is_taker_flag"),
        sa.CheckConstraint("side IN ('bid', 'ask')", name="ck_fills_side_known"),
        sqlite_strict=True,
    )
    _replace("fills")
    op.create_index("ix_fills_order_key", "fills", ["order_key"])
    op.create_index("ix_fills_ts_ms", "fills", ["ts_ms"])


def _settlements() -> None:
    op.create_table(
        "settlements",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Big, autoincrement=False, nullable=False),
        sa.Column("settled_ts_ms", Big, autoincrement=False, nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("yes_count_e2", Big, nullable=False),
        sa.Column("yes_cost_e6", Big, nullable=False),
        sa.Column("no_count_e2", Big, nullable=False),
        sa.Column("no_cost_e6", Big, nullable=False),
        sa.Column("value_e6", Big),
        sa.Column("revenue_e6", Big, nullable=False),
        sa.Column("fee_e6", Big, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "subaccount", "settled_ts_ms", name="pk_settlements"),
        sqlite_strict=True,
    )


def _balances() -> None:
    op.create_table(
        "new_balances",
        sa.Column("subaccount", Big, autoincrement=False, nullable=False),
        sa.Column("as_of_ms", Big, autoincrement=False, nullable=False),
        sa.Column("balance_e6", Big, nullable=False),
        sa.Column("portfolio_value_e6", Big, nullable=False),
        sa.PrimaryKeyConstraint("subaccount", "as_of_ms", name="pk_balances"),
        sqlite_strict=True,
    )
    _replace("balances")


def _markets() -> None:
    op.create_table(
        "markets",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("event_ticker", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("close_ts_ms", Big),
        sa.Column("price_ranges", sa.Text(), nullable=False),
        sa.Column("yes_bid_e6", Big),
        sa.Column("yes_ask_e6", Big),
        sa.Column("last_price_e6", Big),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("settlement_value_e6", Big),
        sa.Column("exchange_index", Big),
        sa.Column("read_at_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("ticker", name="pk_markets"),
        sqlite_strict=True,
    )


def _external_orders() -> None:
    op.create_table(
        "external_orders",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("client_order_id", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("price_e6", Big, nullable=False),
        sa.Column("initial_count_e2", Big, nullable=False),
        sa.Column("fill_count_e2", Big, nullable=False),
        sa.Column("remaining_count_e2", Big, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("subaccount", Big),
        sa.Column("created_ts_ms", Big),
        sa.Column("as_of_ms", Big, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_external_orders"),
        sa.CheckConstraint("side IN ('bid', 'ask')", name="ck_external_orders_side_known"),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_external_orders_resting", "external_orders", ["ticker"], sqlite_where=sa.text("status = 'resting'")
    )


def _breaks() -> None:
    op.create_table(
        "breaks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("client_order_id", sa.Text()),
        sa.Column("order_id", sa.Text()),
        sa.Column("ticker", sa.Text()),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("seen", sa.Text(), nullable=False),
        sa.Column("suggestion", sa.Text(), nullable=False),
        sa.Column("first_seen_us", Big, nullable=False),
        sa.Column("last_seen_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_breaks"),
        sqlite_strict=True,
    )


def _order_groups() -> None:
    op.create_table(
        "order_groups",
        sa.Column("order_group_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("subaccount", Big),
        sa.Column("exchange_index", Big),
        sa.Column("contracts_limit_e2", Big),
        sa.Column("is_auto_cancel_enabled", Big),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("as_of_us", Big, nullable=False),
        sa.PrimaryKeyConstraint("order_group_id", name="pk_order_groups"),
        sa.UniqueConstraint("name", name="uq_order_groups_name"),
        sa.CheckConstraint("state IN ('open', 'triggered', 'deleted')", name="ck_order_groups_state_known"),
        sqlite_strict=True,
    )


def _actions() -> None:
    op.create_table(
        "actions",
        sa.Column("key", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text()),
        sa.Column("subaccount", Big),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", Big, nullable=False),
        sa.Column("live", sa.Text(), nullable=False),
        sa.Column("epoch", Big),
        sa.Column("first_signed_ms", Big),
        sa.Column("last_signed_ms", Big),
        sa.Column("not_before_us", Big, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at_us", Big, nullable=False),
        sa.Column("updated_at_us", Big, nullable=False),
        sa.Column("event_count", Big, nullable=False),
        sa.Column("chain_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_actions"),
        sa.CheckConstraint("attempts >= 0", name="ck_actions_attempts_positive"),
        sa.CheckConstraint(
            "state NOT IN ('on_wire', 'in_doubt') OR live <> ''", name="ck_actions_doubt_has_live_attempt"
        ),
        sa.CheckConstraint(
            "kind IN ('cancel_all', 'cancel_external', 'group_create', 'group_trigger', "
            "'group_reset', 'group_limit', 'group_delete')",
            name="ck_actions_kind_known",
        ),
        sa.CheckConstraint(
            "state IN ('on_wire', 'in_doubt', 'parked') OR live = ''", name="ck_actions_only_doubt_has_live_attempt"
        ),
        sa.CheckConstraint(REASONS, name="ck_actions_reason_known"),
        sa.CheckConstraint(STATES, name="ck_actions_state_known"),
        sqlite_strict=True,
    )
    op.create_index(
        "ix_actions_unfinished",
        "actions",
        ["key"],
        sqlite_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
        postgresql_where=sa.text("state IN ('queued', 'on_wire', 'in_doubt', 'parked')"),
    )


def _action_events() -> None:
    op.create_table(
        "action_events",
        sa.Column("seq", Big, nullable=False),
        sa.Column("action_key", Big, nullable=False),
        sa.Column("n", Big, nullable=False),
        sa.Column("epoch", Big),
        sa.Column("at_us", Big, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_action_events"),
        sa.ForeignKeyConstraint(["action_key"], ["actions.key"], name="fk_action_events_action_key"),
        sa.UniqueConstraint("action_key", "n", name="uq_action_events_action_key_n"),
        sa.CheckConstraint("n > 0", name="ck_action_events_n_positive"),
        sqlite_strict=True,
    )
