"""A ledger of the test's own: its path, and, held by a run, itself."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import running

from oms.ledger.check import check
from oms.ledger.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """Whatever the test does through the ledger's own doors, it passes every check afterwards (P7)."""
    with closing(running(path)) as ledger:
        yield ledger
        assert [each for each in check(ledger) if not each.ok] == []
