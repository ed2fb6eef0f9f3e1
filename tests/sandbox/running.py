"""A sandbox exchange in a process of its own, for any test: `with start_sandbox(tmp_path) as sandbox: ...`.

`Sandbox.call` signs and sends a request as a client would; `control` changes the exchange while it runs;
`orders` and `log` read what really happened from the exchange's own file, past every fault and read lag.
"""

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from oms.sandbox.options import STATE_FILE, ServeOptions

ROOT = Path(__file__).parents[2]
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


@lru_cache(maxsize=8)
def private_key(private_pem: bytes) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    """The key of a PEM, read once: reading an RSA key takes much longer than signing with it."""
    key = serialization.load_pem_private_key(private_pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return key


def sign(private_pem: bytes, text: str) -> str:
    """Kalshi's signature over a text: PSS for an RSA key, plain for an Ed25519 key; Base64."""
    key = private_key(private_pem)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.sign(text.encode())).decode()
    return base64.b64encode(key.sign(text.encode(), PSS, hashes.SHA256())).decode()


def signed_headers(key_id: str, private_pem: bytes, method: str, path: str, at_ms: int) -> dict[str, str]:
    """The three headers of a private request; `path` begins with /trade-api/v2 and has no query."""
    return {
        "KALSHI-ACCESS-KEY": key_id,
        "KALSHI-ACCESS-TIMESTAMP": str(at_ms),
        "KALSHI-ACCESS-SIGNATURE": sign(private_pem, f"{at_ms}{method}{path}"),
    }


def order(**changes: Any) -> dict[str, Any]:
    """A create request that rests: one contract bid at a cent in the first open market."""
    usual = {
        "ticker": "SBXRAIN-A-T10",
        "side": "bid",
        "count": "1.00",
        "price": "0.0100",
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


class Sandbox:
    """A running sandbox. `stop` is SIGTERM, `kill` is SIGKILL; `restart` brings back the same one."""

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.session = requests.Session()
        self.session.trust_env = False
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "oms.sandbox", *self.options.arguments()],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the sandbox ended with {self.process.wait()} before it listened"
        self.endpoint: dict[str, Any] = json.loads(line)
        self.base_url: str = self.endpoint["base_url"]
        self.key_id: str = self.endpoint["key_id"]
        self.private_key_path = Path(self.endpoint["private_key_path"])
        self.pid: int = self.endpoint["pid"]
        self.private_pem = self.private_key_path.read_bytes()

    # ---- as a client

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        at_ms: int | None = None,
        timeout_s: float = 10,
        **query: Any,
    ) -> requests.Response:
        """Send one signed request; `path` follows /trade-api/v2."""
        url = self.base_url + path
        at_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
        headers = signed_headers(self.key_id, self.private_pem, method, urlsplit(url).path, at_ms)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return self.session.request(
            method, url, params=query, data=raw, headers=headers, timeout=timeout_s, allow_redirects=False
        )

    def create(self, **changes: Any) -> requests.Response:
        """POST one order (`order(**changes)`)."""
        return self.call("POST", "/portfolio/events/orders", order(**changes))

    # ---- as its operator

    def control(self, **change: Any) -> dict[str, Any]:
        """Change the exchange while it runs; without arguments, only look. Fails on a bad change."""
        url = self.base_url.replace("/trade-api/v2", "/sandbox/control")
        answer = self.session.post(url, json=change, timeout=10) if change else self.session.get(url, timeout=10)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    # ---- as a judge, from the exchange's own file

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of the exchange's file; works while it runs and after it died."""
        path = self.options.dir / STATE_FILE
        with closing(sqlite3.connect(path, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql, values)]

    def orders(self) -> list[dict[str, Any]]:
        """The account's orders as the exchange has them now, oldest first: no lag, no fault."""
        user_id = self.rows("SELECT value FROM meta WHERE name = 'user_id'")[0]["value"]
        return self.rows("SELECT * FROM orders WHERE user_id = ? ORDER BY seq", user_id)

    def log(self) -> list[dict[str, Any]]:
        """Every request as it was received: what was asked, answered, committed, and which fault it met."""
        rows = self.rows("SELECT * FROM wire ORDER BY seq")
        for row in rows:
            row["client_order_ids"] = row["client_order_ids"].split(",") if row["client_order_ids"] else []
            row["fault"] = json.loads(row["fault"]) if row["fault"] else None
            row["committed"] = bool(row["committed"])
        return rows

    # ---- its life

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM, and wait for its end; returns the exit code."""
        return self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start again on the same directory and port, after `kill` or `stop`."""
        assert self.process.poll() is not None, "it still runs"
        self._start()

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def start_sandbox(directory: Path, **options: Any) -> Iterator[Sandbox]:
    """Run a sandbox on a directory with `ServeOptions`; it is killed at the end, which loses nothing."""
    sandbox = Sandbox(ServeOptions(dir=directory, **options))
    try:
        yield sandbox
    finally:
        sandbox.session.close()
        sandbox.kill()
