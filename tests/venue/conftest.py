"""Keys and venues for the tests of this room."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from oms.venue.door import Venue
from oms.venue.keys import Key, load_key
from oms.venue.limiter import TokenBucket

KEY_ID = "0c1fa3a6-canary-key-id-7d8e"


@pytest.fixture(scope="session")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def pem(private: rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def key_file(tmp_path: Path, pem: bytes) -> Path:
    path = tmp_path / "kalshi.pem"
    path.write_bytes(pem)
    path.chmod(0o600)
    return path


@pytest.fixture
def key(key_file: Path) -> Key:
    return load_key(str(key_file))


@pytest.fixture
def connect(key: Key) -> Iterator[Callable[..., Venue]]:
    """A venue on a server of the test, which does not sleep between tries; its connection is closed at the end."""
    made: list[Venue] = []

    def make(base_url: str, timeout_s: float = 5.0, **more: object) -> Venue:
        more.setdefault("sleep", lambda seconds: None)
        venue = Venue.connect(base_url, KEY_ID, more.pop("key", key), timeout_s, **more)  # type: ignore[arg-type]
        venue.limiter.balance = TokenBucket(1000, 1000)  # it is asked often, and nobody sleeps
        made.append(venue)
        return venue

    yield make
    for venue in made:
        venue.channel().close()
