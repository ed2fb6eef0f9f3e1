"""One POST of JSON to an address of the user's own choosing. No signature and no key of the exchange's goes there.

As strict as the transport to the exchange: one total deadline, verified TLS, no redirect, no proxy or credentials of
the environment, no repetition. The address may be a secret, so nothing that is said here holds more of it than its
host, and urllib3's pool, which logs paths, is passed by.
"""

import http.client
import ssl
from typing import Any
from urllib.parse import urlsplit

import oms
from oms.venue.clock import ExchangeClock
from oms.venue.hosts import Host
from oms.venue.sockets import Flight, connection_pool
from oms.venue.transport import Transport, describe

MOST_READ = 65_536


class Webhook:
    """An address that is posted to; one connection for each delivery."""

    def __init__(self, url: str) -> None:
        """`url` as the configuration has accepted it."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._host = Host(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), "")
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.name = f"the webhook at {parts.hostname}"

    def post(self, body: bytes, timeout_s: float) -> str:
        """Send it once; "" when the answer was a 2xx, else what was wrong, without the address.

        Whether it arrived when there was no answer is not known; it will be sent again.
        """
        flight = Flight()
        flight.begin(flight.monotonic() + timeout_s, lambda: "")
        try:
            status = self._exchange(body, flight)
        except Exception as exc:
            return f"{self.name} gave no answer: {describe(exc)}"
        return "" if 200 <= status < 300 else f"{self.name} answered {status}"

    def _exchange(self, body: bytes, flight: Flight) -> int:
        headers = {
            "User-Agent": f"oms/{oms.__version__}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        tls = self._tls()
        kind: Any = connection_pool(self._host, flight, tls).ConnectionCls
        more = {} if tls is None else {"ssl_context": tls}
        connection = kind(self._host.name, self._host.port, **more)
        try:
            connection.request("POST", self._target, body=body, headers=headers)
            # Not urllib3's: that would log the address beside a header that it cannot read.
            answer = http.client.HTTPConnection.getresponse(connection)
            answer.read(MOST_READ)
            return answer.status
        finally:
            connection.close()

    def _tls(self) -> ssl.SSLContext | None:
        name = f"[{self._host.name}]" if ":" in self._host.name else self._host.name
        base_url = f"{self._host.scheme}://{name}:{self._host.port}"
        return Transport(base_url, "", None, 1.0, ExchangeClock()).tls_context()
