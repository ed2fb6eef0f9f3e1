"""The truth about the account: money that came and went, positions that do not tie out, the rate that was allowed.

Frozen, as every revision: it imports nothing of oms.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import sqlite

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def upgrade() -> None:
    """Make what is new; what is there stays as it is."""
    op.add_column("balances", sa.Column("updated_ts", Big))
    op.create_table(
        "movements",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("movement_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("from_subaccount", Big),
        sa.Column("to_subaccount", Big),
        sa.Column("amount_e6", Big, nullable=False),
        sa.Column("fee_e6", Big, nullable=False),
        sa.Column("created_ts", Big, nullable=False),
        sa.Column("moved_ts", Big),
        sa.Column("returned_ts", Big),
        sa.PrimaryKeyConstraint("kind", "movement_id", name="pk_movements"),
        sa.CheckConstraint("kind IN ('deposit', 'withdrawal', 'transfer')", name="ck_movements_kind_known"),
        sa.CheckConstraint("amount_e6 >= 0 AND fee_e6 >= 0", name="ck_movements_amounts_positive"),
        sa.CheckConstraint(
            "(kind = 'deposit') = (from_subaccount IS NULL) AND (kind = 'withdrawal') = (to_subaccount IS NULL)",
            name="ck_movements_ends_known",
        ),
        sqlite_strict=True,
    )
    op.create_table(
        "untied_positions",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("subaccount", Big, autoincrement=False, nullable=False),
        sa.Column("position_e2", Big, nullable=False),
        sa.Column("as_of_ms", Big, nullable=False),
        sa.Column("until_ms", Big, nullable=False),
        sa.Column("ours_e2", Big, nullable=False),
        sa.Column("is_proven", Big, nullable=False),
        sa.PrimaryKeyConstraint("ticker", "subaccount", name="pk_untied_positions"),
        sa.CheckConstraint("is_proven IN (0, 1)", name="ck_untied_positions_is_proven_flag"),
        sqlite_strict=True,
    )
    op.create_table(
        "rate_limits",
        sa.Column("at_us", Big, autoincrement=False, nullable=False),
        sa.Column("write_per_s", Big, nullable=False),
        sa.Column("write_capacity", Big, nullable=False),
        sa.Column("create_cost", Big, nullable=False),
        sa.Column("cancel_cost", Big, nullable=False),
        sa.Column("amend_cost", Big, nullable=False),
        sa.Column("decrease_cost", Big, nullable=False),
        sa.PrimaryKeyConstraint("at_us", name="pk_rate_limits"),
        sqlite_strict=True,
    )
