"""Speaking to a running sandbox as its operator: the control endpoint and the public reads, over loopback."""

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from oms.sandbox.launch import Running

TIMEOUT_S = 30.0


class Refused(Exception):
    """The sandbox did not do it; the message is its own, `status` the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Remote:
    """One running sandbox."""

    def __init__(self, running: Running) -> None:
        self._base_url = running.base_url
        # Straight to the socket: a proxy from the environment has no business here.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def control(self, change: dict[str, Any]) -> dict[str, Any]:
        """Change the exchange, or with nothing to change look at it. Raises Refused, and then nothing changed."""
        url = self._base_url.rsplit("/trade-api/", 1)[0] + "/sandbox/control"
        return self._ask(url, json.dumps(change).encode() if change else None)

    def read(self, path: str, **query: str) -> dict[str, Any]:
        """A public read; `path` follows /trade-api/v2. Raises Refused."""
        return self._ask(f"{self._base_url}{path}?{urlencode(query)}", None)

    def _ask(self, url: str, body: bytes | None) -> dict[str, Any]:
        try:
            with self._opener.open(url, body, timeout=TIMEOUT_S) as answer:
                document = json.load(answer)
        except HTTPError as refused:
            with refused:
                raise Refused(refused.code, _said(refused.read())) from refused
        return dict(document)


def _said(body: bytes) -> str:
    """The words of an error body."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
    return str(error["message"] if isinstance(error, dict) else error)
