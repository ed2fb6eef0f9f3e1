"""The same worlds as the contract's tests."""

from tests.contract.conftest import _worlds, own_world, world

__all__ = ["_worlds", "own_world", "world"]
