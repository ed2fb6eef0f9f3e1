"""The worlds of the other tests, for the laboratory's: lives that can be killed, and shells."""

from tests.canary import canary
from tests.contract.conftest import _worlds, forge, own_world, rsa_key, shell, world
from tests.crash.conftest import exchange_key, nursery, world_of

__all__ = [
    "_worlds",
    "canary",
    "exchange_key",
    "forge",
    "nursery",
    "own_world",
    "rsa_key",
    "shell",
    "world",
    "world_of",
]
