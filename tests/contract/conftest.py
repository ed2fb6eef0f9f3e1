"""One exchange for many tests: a world is handed on while it is left settled, and thrown away when it is not."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from oms.sandbox.auth import new_private_pem
from tests.canary import Canary, canary
from tests.contract.shells import Forge, Shell
from tests.contract.worlds import World
from tests.sandbox.running import start_sandbox

__all__ = ["canary"]


class _Worlds:
    """The world that is in use, and its exchange's life."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._stack = ExitStack()
        self.current: World | None = None

    def get(self) -> World:
        if self.current is None:
            directory = self._factory.mktemp("world")
            sandbox = self._stack.enter_context(start_sandbox(directory / "sandbox", tier="unlimited", skew_s=1))
            self.current = World(sandbox, directory)
        return self.current

    def end(self) -> None:
        self.current = None
        self._stack.close()


@pytest.fixture(scope="module")
def _worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Worlds]:
    worlds = _Worlds(tmp_path_factory)
    yield worlds
    worlds.end()


@pytest.fixture
def world(_worlds: _Worlds) -> Iterator[World]:
    """A running exchange without faults, and a ledger on it in which nothing is unfinished."""
    found = _worlds.get()
    yield found
    try:
        found.sandbox.control(faults=[], read_lag_ms=0, pause="none")
        clean = found.is_settled()
    except Exception:
        clean = False
    if not clean:
        _worlds.end()


@pytest.fixture
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of the test's own, for what would disturb others: clocks, other keys, halts."""
    directory = tmp_path_factory.mktemp("own")
    with start_sandbox(directory / "sandbox", tier="unlimited", skew_s=1) as sandbox:
        yield World(sandbox, directory)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """The process to fork command lines and exchanges from."""
    made = Forge(tmp_path_factory.mktemp("forge"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def rsa_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key for every exchange: making one takes longer than a command."""
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(new_private_pem())
    path.chmod(0o600)
    return path


@pytest.fixture
def shell(tmp_path: Path, forge: Forge, rsa_key: Path, canary: Canary) -> Iterator[Shell]:
    """A home without a ledger, and an exchange of its own."""
    made = Shell(tmp_path, forge, rsa_key, canary)
    yield made
    made.close()
