"""The same worlds as the contract's tests, and less patience."""

import pytest

from oms.app import drive
from tests.contract.conftest import _worlds, own_world, world

__all__ = ["_worlds", "own_world", "world"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run waits no longer than the horizon for what it cannot learn."""
    monkeypatch.setattr(drive, "_GRACE_S", 0.3)
