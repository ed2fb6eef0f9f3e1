"""The judge's words against the pages it was written from, and against the ledger that it reads."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from oms.lab.judge import INVARIANTS, RULES
from oms.lab.judge.actions import MOVES as ACTION_MOVES
from oms.lab.judge.reading import APPLICATION_ID, REVISIONS
from oms.lab.judge.replay import MOVES, STATUS_MOVES
from oms.ledger import schema
from oms.lifecycle.actions import ACTION_TABLE

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
LIFECYCLE = (DOCS / "lifecycle.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    found = re.search(rf"<!-- drawn: {name} -->\n(.*?)<!-- end -->", LIFECYCLE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("kind", ["create", "cancel", "amend", "decrease"])
def test_the_judge_knows_the_moves_that_the_page_of_states_shows(kind: str) -> None:
    head, _, *lines = [line.strip("| ").split("|") for line in block(f"{kind}-rows").splitlines()]
    states = [cell.strip() for cell in head[1:]]
    shown: dict[str, dict[str, str]] = {}
    for line in lines:
        event, *cells = [cell.strip() for cell in "|".join(line).split("|")]
        # The first word is where it leads; what depends on other attempts or on the person comes after it.
        moves = {
            state: cell.split(",")[0].split(" ")[0]
            for state, cell in zip(states, [*cells, *[""] * len(states)], strict=False)
            if cell not in ("", "·")
        }
        shown[event.replace(" ", "_")] = moves
    assert MOVES[kind] == shown


def test_the_judge_knows_the_moves_of_actions() -> None:
    known: dict[str, dict[str, tuple[str, str]]] = {}
    for (state, event), (first, second) in ACTION_TABLE.items():
        known.setdefault(str(event.__struct_config__.tag), {})[state.value] = (first.value, second.value)
    assert known == ACTION_MOVES


def test_the_judge_knows_the_statuses_that_the_page_of_states_shows() -> None:
    shown: dict[str, set[str]] = {status: set() for status in STATUS_MOVES}
    for before, after in re.findall(r"^ +(\w+) --> (\w+)", block("order"), re.MULTILINE):
        shown[before].add(after)
    assert {status: set(moves) for status, moves in STATUS_MOVES.items()} == shown


def test_the_judge_knows_the_ledger_of_today() -> None:
    assert REVISIONS[-1] == schema.HEAD
    assert APPLICATION_ID == schema.APPLICATION_ID


def test_every_invariant_has_somebody_who_looks_after_it() -> None:
    assert [each.name for each in INVARIANTS] == [f"I{number}" for number in range(1, 28)]
    judged = {rule.invariant for rule in RULES}
    assert judged <= {each.name for each in INVARIANTS}
    assert [each.name for each in INVARIANTS if each.name not in judged and not (each.tests or each.note)] == []
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("named", [test for each in INVARIANTS for test in each.tests])
def test_the_tests_that_the_table_names_are_there(named: str) -> None:
    path, _, name = named.partition("::")
    text = (DOCS.parent / "tests" / path).read_text(encoding="utf-8")
    assert f"def {name}(" in text


def test_the_page_of_reliability_is_in_step_with_the_judge() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "write_invariants.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "in step\n")
