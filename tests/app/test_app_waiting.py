"""An exchange out of reach: what a person is told meanwhile, and what is not claimed to be known."""

import socket
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from oms import Oms
from oms.config import Config, load
from oms.records import Progress


@pytest.fixture
def out_of_reach(tmp_path: Path) -> Config:
    """A configuration whose exchange refuses every connection."""
    key = tmp_path / "key.pem"
    key.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key.chmod(0o600)
    with socket.socket() as taken:  # bound and never listening, then free again
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = {
        "OMS_ENVIRONMENT": "demo",
        "OMS_VENUE__DEMO__BASE_URL": f"http://127.0.0.1:{port}/trade-api/v2",
        "OMS_VENUE__DEMO__KEY_ID": "a-key",
        "OMS_VENUE__DEMO__PRIVATE_KEY_PATH": str(key),
        "OMS_SUBMIT__WAIT_S": "2",
    }
    return load({}, {"HOME": str(tmp_path), **settings})


def test_a_run_that_waits_for_the_exchange_says_so_and_leaves_everything_queued(out_of_reach: Config) -> None:
    told: list[Progress] = []
    row = {"ticker": "T", "side": "bid", "count": 1, "price": "0.5"}
    with Oms.open(out_of_reach) as oms:
        report = oms.submit([row], progress=told.append)
    assert (report.exit_code, report.queued, report.in_doubt) == (6, 1, 0)
    waiting = [progress.note for progress in told if progress.phase == "waiting"]
    assert waiting
    assert all(note.startswith("for the exchange: ") for note in waiting)


def test_the_clock_is_not_called_right_when_nobody_could_be_asked(out_of_reach: Config) -> None:
    with Oms.open(out_of_reach) as oms:
        checks = {check.name: check.ok for check in oms.doctor()}
    assert (checks["credentials"], checks["exchange"], checks["clock"], checks["account"]) == (True, False, None, False)
