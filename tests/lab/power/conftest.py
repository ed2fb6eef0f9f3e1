"""The simulated disk for tests, or a loud word that SQLite cannot be reached here."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.lab.power.bench import Bench
from tests.lab.power.disk import Disk
from tests.lab.power.files import covered
from tests.lab.power.scenarios import SCENARIOS
from tests.lab.power.vfs import PowerVfs, library

_MISSING = (
    "power loss is NOT TESTED: this Python's sqlite3 module does not use a SQLite library that can be reached;"
    " use a Python that is linked to a shared libsqlite3 (Debian's, python.org's, pyenv's)"
)
# In memory where there is such a place: the simulated disk needs no real one.
_FAST = Path("/dev/shm")


@cache
def _vfs() -> PowerVfs | None:
    found = library()
    return None if found is None else PowerVfs(found)


@pytest.fixture
def vfs(record_property: Callable[[str, object], None]) -> PowerVfs:
    """SQLite's file system, under our hand. Skips where it cannot be had; in CI that is a failure."""
    found = _vfs()
    if found is None:
        record_property("counted", _MISSING)
        assert not os.environ.get("CI"), _MISSING
        pytest.skip(_MISSING)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder for a simulated disk."""
    if not os.access(_FAST, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_FAST, prefix="oms-power-") as made:
        yield Path(made)


@pytest.fixture
def disk(vfs: PowerVfs, folder: Path) -> Iterator[Disk]:
    """A disk under everything that SQLite and the ledger do in `folder`."""
    with ExitStack() as stack:
        made = Disk(folder)
        stack.enter_context(vfs.mounted(made))
        stack.enter_context(covered(made))
        yield made


@pytest.fixture
def bench(vfs: PowerVfs, folder: Path) -> Iterator[Callable[[str], Bench]]:
    """A scenario by its name, ready to be run again and again."""
    made = folder / "ledger"
    made.mkdir()
    power = Disk(made)
    with vfs.mounted(power), covered(power), _rare_collections():
        yield lambda name: Bench(folder, power, SCENARIOS[name], name)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Thousands of lives leave little behind: collecting it as often as usual costs a quarter of the time."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
