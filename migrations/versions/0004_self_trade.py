"""A reason more: an order of ours that was canceled because another of ours would have traded with it.

Frozen, as every revision: it imports nothing of oms. SQLite makes a table anew to change a rule of it.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REASONS = (
    "reason IN ('refused', 'id_consumed', 'expired', 'withdrawn', 'retried', 'halted', 'proven_absent', "
    "'cancel_requested', 'moot', 'no_effect', 'no_answer', 'sender_died', 'id_taken', 'conflict', 'superseded', "
    "'limit', 'waiting', 'resolved_by_hand', 'expiry', 'market_closed', 'order_group', 'cancel_all', 'self_trade', "
    "'canceled_elsewhere')"
)


def upgrade() -> None:
    """Change the rule of every table that has it."""
    for table in ("orders", "commands", "actions"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"ck_{table}_reason_known", type_="check")
            batch.create_check_constraint(f"ck_{table}_reason_known", REASONS)
