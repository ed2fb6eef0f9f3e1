"""The page about the sandbox names everything there is, and nothing that there is not."""

import re
from pathlib import Path

from oms.sandbox.control import Change
from oms.sandbox.faults import KINDS, Fault, Match
from oms.sandbox.options import ServeOptions
from oms.sandbox.routes import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def first_cells(heading: str) -> set[str]:
    """The words in code in the first column of the tables under a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {word for cell in cells for word in re.findall(r"`([\w-]+)", cell)}


def test_every_option_is_described() -> None:
    options = {"--" + name.replace("_", "-") for name in ServeOptions.__struct_fields__}
    assert first_cells("Running it") == options


def test_every_control_key_is_described() -> None:
    assert first_cells("The control endpoint") == set(Change.__struct_fields__)


def test_every_fault_and_every_field_of_a_match_is_described() -> None:
    assert first_cells("Faults by script") == set(KINDS) | set(Match.__struct_fields__)
    for field in Fault.__struct_fields__:
        assert f"`{field}" in PAGE


def test_the_operations_named_exist() -> None:
    named = set(re.findall(r"`((?:Get|Create|Batch|Cancel|Amend|Decrease)\w+)`", PAGE))
    assert len(named) > 8
    assert named <= NAMES
