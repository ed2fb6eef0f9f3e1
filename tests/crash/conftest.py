"""A zygote and a key, made once for all crash tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from oms.sandbox.auth import new_private_pem
from tests.crash.lives import Nursery, World, give_key, new_world


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process to fork lives from."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="session")
def exchange_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key for every exchange: making one takes longer than a life."""
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.write_bytes(new_private_pem())
    return path


@pytest.fixture
def world_of(tmp_path: Path, nursery: Nursery, exchange_key: Path) -> Iterator[Callable[..., World]]:
    """`world_of(settings={...}, dedupe="open_only")`: a world of this test's own, gone when it ends."""
    with ExitStack() as stack:

        def make(settings: dict[str, str] | None = None, **options: object) -> World:
            directory = tmp_path / f"world{len(list(tmp_path.iterdir()))}"
            give_key(directory, exchange_key)
            return stack.enter_context(new_world(directory, nursery, settings or {}, **options))

        yield make
