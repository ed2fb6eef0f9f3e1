"""The catalogue of faults, the tests that name them and the page about them, held in step."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.lab.faults import FAULTS

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT / "docs" / "write_faults.py"))


def test_the_catalogue_has_96_faults_in_order() -> None:
    assert [fault.number for fault in FAULTS] == list(range(1, 97))


def test_every_fault_has_a_test_or_a_reason(script: dict[str, Any]) -> None:
    tests = script["marked"]()
    assert [fault.number for fault in FAULTS if not tests.get(fault.number) and not fault.reason] == []


def test_no_test_names_a_fault_that_there_is_not(script: dict[str, Any]) -> None:
    tests = script["marked"]()
    assert set(tests) <= {fault.number for fault in FAULTS}
    # Only what pytest runs can hold anything.
    assert {name for found in tests.values() for _, name in found if not name.startswith("test_")} == set()


def test_the_page_has_the_table_as_it_is(script: dict[str, Any]) -> None:
    page: Path = script["PAGE"]
    text = page.read_text(encoding="utf-8")
    assert "<!-- written: faults -->" in text
    assert script["written"](text) == text, "run python docs/write_faults.py"
