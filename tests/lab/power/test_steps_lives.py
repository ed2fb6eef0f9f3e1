"""Every single step, and pairs of steps, of six commands before the sandbox exchange (P1-P6; faults 1-10, 16)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.power.bench import every_pair, every_step
from tests.lab.power.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_some_steps(bench: Any, name: str) -> None:
    assert every_step(bench(name), stride=29).runs > 4


@pytest.mark.lab
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_step(bench: Any, name: str, record_property: Callable[[str, object], None]) -> None:
    record_property("counted", f"every step, {name}: {every_step(bench(name))}")


@pytest.mark.lab
@pytest.mark.parametrize("name", ["answer lost", "cancel"])
def test_pairs_of_steps(bench: Any, name: str, record_property: Callable[[str, object], None]) -> None:
    record_property("counted", f"pairs of steps, {name}: {every_pair(bench(name), stride=3)}")
