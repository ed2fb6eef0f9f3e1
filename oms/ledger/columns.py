"""What all tables of the ledger are made of: names of constraints, whole numbers of 64 bits, closed sets."""

from collections.abc import Iterable

from sqlalchemy import BigInteger, CheckConstraint, MetaData
from sqlalchemy.dialects.sqlite import INTEGER

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


def flag(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN (0, 1)", name=f"{column}_flag")


def check(rule: str, name: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)
