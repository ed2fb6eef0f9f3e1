"""Lives that strace can join, or a loud word that it is missing."""

import os
from collections.abc import Callable, Iterator

import pytest

from tests.lab.real import strace


@pytest.fixture
def tracing(record_property: Callable[[str, object], None]) -> None:
    """There is strace. Skips where it is missing; in CI that is a failure."""
    if not strace.is_here():
        record_property("counted", strace.MISSING)
        assert not os.environ.get("CI"), strace.MISSING
        pytest.skip(strace.MISSING)


@pytest.fixture(scope="session")
def waiting() -> Iterator[strace.WaitingNursery]:
    """The process to fork lives from that wait for strace."""
    made = strace.WaitingNursery()
    yield made
    made.close()
