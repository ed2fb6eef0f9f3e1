"""Writes the table of invariants in docs/reliability.md from the judge.

python docs/write_invariants.py           rewrite what is written by machine
python docs/write_invariants.py --check   say whether it is in step (exit 1 if not)
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oms.lab.judge import INVARIANTS, RULES, Invariant

PAGE = Path(__file__).resolve().parent / "reliability.md"
BLOCK = re.compile(r"(<!-- written: invariants -->\n).*?(<!-- end -->)", re.DOTALL)
NEEDS = {
    "ledger": "",
    "clock": "",
    "told": " (of what it is handed)",
    "account": " (with the exchange)",
    "exchange": " (with the exchange)",
    "log": " (with the log of requests)",
    "record": " (with the log of requests)",
    "level": " (with the exchange, at rest)",
    "quiet": " (at rest)",
}


def written(text: str) -> str:
    """The page with the table as it should be."""
    return BLOCK.sub(lambda match: f"{match[1]}{_table()}\n{match[2]}", text)


def _table() -> str:
    head = "| | says | the judge looks at | and |\n|---|---|---|---|\n"
    return head + "\n".join(_rows())


def _rows() -> Iterator[str]:
    for invariant in INVARIANTS:
        yield f"| {invariant.name} | {invariant.title} | {_looks(invariant) or '-'} | {_elsewhere(invariant) or '-'} |"


def _looks(invariant: Invariant) -> str:
    return ", ".join(f"{rule.name}{NEEDS[rule.needs]}" for rule in RULES if rule.invariant == invariant.name)


def _elsewhere(invariant: Invariant) -> str:
    """Each test as the sentence that its name is, linked to its file."""
    tests = [test.partition("::test_") for test in invariant.tests]
    told = [f"[{words.replace('_', ' ')}](../tests/{file})" for file, _, words in tests]
    return "; ".join([*told, invariant.note] if invariant.note else told)


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = written(text)
    if "--check" in sys.argv[1:]:
        print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/write_invariants.py")
        return int(wanted != text)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
