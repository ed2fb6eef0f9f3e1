"""${message}.

Revises ${down_revision | comma,n}. Frozen: it repeats every name and rule it needs and imports nothing of oms.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Runs inside one transaction with foreign keys off; they are checked before it commits."""
    ${upgrades if upgrades else "pass"}
