"""I13: what a caller was told is in the ledger, whatever came after it. Needs to be handed what was told."""

from collections.abc import Iterable
from pathlib import Path

from oms.lab.judge.finding import Finding
from oms.lab.judge.reading import read_ledger
from oms.lab.judge.replay import AT_EXCHANGE, TERMINAL


def told(ledger: Path, answers: Iterable[tuple[str, str]]) -> list[Finding]:
    """Every answer (client_order_id and status, as they were told) that the ledger does not bear out now.

    An order may have come further since, never back. Raises as `judge` does.
    """
    stand = {row["client_order_id"]: row for row in read_ledger(ledger)["orders"]}
    found = []
    for name, status in answers:
        row = stand.get(name)
        if row is None:
            found.append(Finding("I13", name, f"{name} was told to be {status}, and is not in the ledger"))
        elif not _may_have_become(status, row["status"], bool(row["late"])):
            found.append(Finding("I13", name, f"{name} was told to be {status}, and is {row['status']}"))
    return found


def _may_have_become(before: str, after: str, is_late: bool) -> bool:
    if before == after or before == "pending":
        return True
    if before in ("rejected", "unsent"):
        return is_late and after in AT_EXCHANGE
    return before == "resting" and after in TERMINAL
