"""The judge: holds a ledger, and the exchange it spoke to, to the invariants I1-I27, from outside.

It reads SQLite files and the exchange's own words with the standard library alone. Nothing of oms is imported here:
the rules are written a second time, from docs/ledger.md and docs/lifecycle.md, so that a mistake of oms cannot excuse
itself.

    judge(ledger, exchange, is_settled=True)    -> findings, the worst first; none when all holds
    judge(..., told=[Told(...), ...])           -> and what callers were told and the ledger does not bear out (I13)
    examine(...)                                -> the same, rule by rule, with what each looked at

`exchange` is a sandbox's database file, the raw bodies of a live exchange's answers, or None.
"""

from pathlib import Path

from oms.lab.judge.book import Raw, arrived, count_orders
from oms.lab.judge.finding import Finding
from oms.lab.judge.reading import Whose, count_intents, whose
from oms.lab.judge.rules import INVARIANTS, RULES, Checked, Invariant, Rule, by_weight, examine, judge
from oms.lab.judge.told import Told

__all__ = [
    "INVARIANTS",
    "RULES",
    "Checked",
    "Finding",
    "Invariant",
    "Raw",
    "Rule",
    "Told",
    "Whose",
    "arrived",
    "by_weight",
    "examine",
    "judge",
    "tally",
    "whose",
]


def tally(ledger: Path, exchange: Path) -> tuple[int, int]:
    """How many intents the ledger holds, and how many orders of the account the sandbox of that file holds."""
    return count_intents(ledger), count_orders(exchange)
