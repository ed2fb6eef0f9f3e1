"""The laboratory's own test: planted bugs are found by the rule they name; without them the same work finds nothing.

Each is tried in a process of its own, on a patched copy of the package. `python docs/write_mutants.py --run` tries all
of them and writes the table of docs/reliability.md.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.mutants.planting import PROJECT, Misplanted, Mutant, Patch, Trial, apply, attempt, mutants, trials
from tests.lab.power.vfs import library

PLANTED = mutants()
FAST = [each for each in PLANTED if each.name in ("post before commit", "no witnesses", "no writer lock")]
REST = [each for each in PLANTED if each not in FAST]

Tell = Callable[[str, object], None]


def name_of(each: Mutant | Trial) -> str:
    return each.name if isinstance(each, Mutant) else f"{each.tier}, {each.shown}"


def check_reach(trial: Trial) -> None:
    """Without SQLite at hand power loss cannot be tested: in CI that is a failure."""
    if trial.tier in ("power", "disk") and library() is None:
        assert not os.environ.get("CI"), "this Python's SQLite cannot be reached"
        pytest.skip("power loss is NOT TESTED: this Python's SQLite cannot be reached")


def hold_to_its_word(mutant: Mutant, tell: Tell) -> None:
    check_reach(mutant.trial)
    found = attempt(mutant.trial, mutant.patches)
    if mutant.equivalent:
        assert found.rules == (), f"it is said to be no bug, and is one: {found.said}"
        return
    assert found.rules, f"{mutant.name} survived {mutant.trial.shown}: {mutant.breaks}"
    assert set(found.rules) & set(mutant.by), f"found by another rule than it names: {found.said}"
    tell("counted", f"planted: {mutant.name}: found by {', '.join(found.rules)} after {found.lives} lives")


@pytest.mark.parametrize("mutant", FAST, ids=name_of)
def test_a_planted_bug_is_found(mutant: Mutant, record_property: Tell) -> None:
    hold_to_its_word(mutant, record_property)


@pytest.mark.parametrize("trial", trials(FAST), ids=name_of)
def test_the_same_work_finds_nothing_where_nothing_is_planted(trial: Trial) -> None:
    assert attempt(trial).said == ()


@pytest.mark.lab
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", REST, ids=name_of)
def test_every_planted_bug_is_found_by_the_rule_it_names(mutant: Mutant, record_property: Tell) -> None:
    hold_to_its_word(mutant, record_property)


@pytest.mark.lab
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trial", trials(PLANTED), ids=name_of)
def test_all_of_the_work_finds_nothing_where_nothing_is_planted(trial: Trial) -> None:
    check_reach(trial)
    assert attempt(trial).said == ()


def test_a_patch_that_does_not_apply_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for text in ("y = 1", "x = 1"):
        with pytest.raises(Misplanted, match=text):
            apply(Patch("a.py", text, "x = 2"), tmp_path)


def test_every_planted_bug_says_what_it_is() -> None:
    assert len({each.name for each in PLANTED}) == len(PLANTED)
    assert [each.name for each in PLANTED if bool(each.by) == bool(each.equivalent)] == []
    assert sum(not each.equivalent for each in PLANTED) >= 25
    assert len(FAST) == 3


def test_the_page_of_reliability_is_in_step_with_what_was_found() -> None:
    done = subprocess.run(
        [sys.executable, "docs/write_mutants.py", "--check"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "in step\n")
