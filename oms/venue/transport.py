"""One request out, one answer back, and certainty about whether anything left.

Knows no endpoint and reads no body. Keeps P4 at its root: `NotSent` only where no byte of the request was handed to
the socket; everything else that is not an answer is `OutcomeUnknown`. Nothing is ever repeated here. Environment
proxies, .netrc, CA variables and redirects do not exist for it, and no exception that leaves it holds a header.
"""

import re
import ssl
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool

import oms
from oms.errors import NotSent, OutcomeUnknown
from oms.venue.clock import ExchangeClock
from oms.venue.hosts import Host, parse_base_url
from oms.venue.keys import Key
from oms.venue.signing import ACCESS_SIGNATURE, signed_headers
from oms.venue.sockets import DEADLINE_PASSED, NOT_RESOLVED, Flight, connection_pool

__all__ = ["Answer", "Channel", "ClaimTooOld", "Objected", "Request", "Transport"]

MAX_WRITE_ANSWER = 1024 * 1024  # a batch answer of a thousand items is 300 kB
MAX_READ_ANSWER = 8 * 1024 * 1024  # a page of a thousand orders is 900 kB
MAX_CLAIM_AGE_MS = 5_000  # design: older claims are handed back; the exchange's own skew bound is wider
# Longer idle connections are not trusted with a write: a silent drop on the way would turn an order into a doubt.
MAX_IDLE_S = 30.0
_CLAIM_AGE = "its claim's age is"


class ClaimTooOld(NotSent):
    """The signed timestamp had grown too old before the first byte could leave."""

    code = "claim_too_old"


class Objected(NotSent):
    """Somebody here objected at the last moment, when nothing of it had left: sending was halted, say."""

    code = "objected"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` counts from the base URL; `body` of a write is sent byte for byte."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, unread. `body` is decoded from gzip and holds no signature, whatever the other side echoed."""

    status: int
    body: bytes = field(default=b"", repr=False)


class Transport:
    """Where to, as whom, and by when. Channels do the work, one per thread."""

    def __init__(
        self,
        base_url: str,
        key_id: str,
        key: Key | None,
        timeout_s: float,
        clock: ExchangeClock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout_s` is the total deadline of one request. Without a key only public reads can be made.

        `tls` replaces the trust in the bundled certificate authorities; it must verify. ConfigError on a bad URL.
        """
        self.host: Host = parse_base_url(base_url)
        self.key_id = key_id
        self.key = key
        self.timeout_s = timeout_s
        self.clock = clock
        # Asked directly before the first byte of every write: why it may not leave, "" for nothing.
        self.objection: Callable[[Request], str] = _no_objection
        self._tls = tls
        self._lock = threading.Lock()
        self._threads = threading.local()

    def channel(self) -> "Channel":
        """The calling thread's own channel, made on first use."""
        mine: Channel | None = getattr(self._threads, "channel", None)
        if mine is None:
            mine = self._threads.channel = Channel(self)
        return mine

    def tls_context(self) -> ssl.SSLContext | None:
        """One context for all channels: reading the bundle costs as much as a hundred requests."""
        if self.host.scheme == "http":
            return None
        with self._lock:
            if self._tls is None:
                # Not ssl.create_default_context: that writes session secrets to the file named by SSLKEYLOGFILE.
                self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
                self._tls.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
            return self._tls

    def __repr__(self) -> str:
        return f"Transport({self.host.scheme}://{self.host.name}:{self.host.port}{self.host.prefix})"


class Channel:
    """One keep-alive connection to the exchange. Not thread-safe: each sender has its own."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._clock = transport.clock
        self._flight = Flight()
        pool = connection_pool(transport.host, self._flight, transport.tls_context())
        self._adapter = _Adapter(pool)
        self._used_at = self._now()
        port = transport.host.port
        name = f"[{transport.host.name}]" if ":" in transport.host.name else transport.host.name
        self._root = f"{transport.host.scheme}://{name}:{port}"

    def write(self, request: Request, signed_ms: int) -> Answer:
        """Send a write once, signed with the timestamp of its claim, and wait for its answer.

        Raises NotSent (ClaimTooOld, Objected) when no byte was handed over, OutcomeUnknown otherwise. The claim's
        age is looked at again directly before the first byte, after name lookup, connection and handshake, and the
        transport's `objection` is asked then.
        """
        assert self._transport.key is not None, "a write without a key"
        # By either clock: the monotonic one stands still while the machine sleeps.
        if any(now - used > MAX_IDLE_S for now, used in zip(self._now(), self._used_at, strict=True)):
            self.close()
        guard = self._guard(request, signed_ms)
        return self._send(request, signed_ms, self._transport.timeout_s, MAX_WRITE_ANSWER, guard)

    def read(self, request: Request, timeout_s: float) -> Answer:
        """Send a read once, signed with the exchange's time now; raises as `write` does."""
        return self._send(request, self._clock.now_ms(), timeout_s, MAX_READ_ANSWER, _never)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._adapter.close()

    def _now(self) -> tuple[float, float]:
        return self._flight.monotonic(), self._clock.now_us() / 1e6

    def _guard(self, request: Request, signed_ms: int) -> Callable[[], str]:
        def objection() -> str:
            age_ms = self._clock.now_ms() - signed_ms
            if abs(age_ms) > MAX_CLAIM_AGE_MS:
                return f"{_CLAIM_AGE} {age_ms} ms"
            return self._transport.objection(request)

        return objection

    def _send(
        self, request: Request, signed_ms: int, timeout_s: float, max_bytes: int, guard: Callable[[], str]
    ) -> Answer:
        began = self._flight.monotonic()
        self._flight.begin(began + timeout_s, guard)
        outcome = self._attempt(request, signed_ms, max_bytes, began)
        self._used_at = self._now()
        if isinstance(outcome, Answer):
            return outcome
        # Raised out here, where no frame and no chained exception of the library holds the signed request.
        self.close()
        raise self._failure(request, outcome)

    def _attempt(self, request: Request, signed_ms: int, max_bytes: int, began: float) -> Answer | str:
        """The answer, or why there is none."""
        path = self._transport.host.prefix + request.path
        headers = _headers(request)
        if self._transport.key is not None:
            headers |= signed_headers(self._transport.key_id, self._transport.key, signed_ms, request.method, path)
        # Built by hand: preparing a request as requests does costs as much again as sending it.
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._root + path + ("?" + urlencode(request.query) if request.query else "")
        prepared.headers = cast(Any, headers)  # a plain dict does: its one look-up is of a name in our own case
        prepared.body = request.body
        try:
            return _scrubbed(self._exchange(prepared, max_bytes, began), headers)
        except Exception as exc:
            return describe(exc)

    def _exchange(self, prepared: requests.PreparedRequest, max_bytes: int, began: float) -> Answer:
        raw = self._adapter.send(prepared, stream=True, timeout=None, verify=True).raw
        try:
            elapsed_us = int((self._flight.monotonic() - began) * 1_000_000)
            # An answer out of a cache carries the Date of whenever it was made.
            if "Date" in raw.headers and "Age" not in raw.headers:
                self._clock.observe(raw.headers["Date"], elapsed_us)
            return Answer(int(raw.status), _read_body(raw, max_bytes))
        except BaseException:
            raw.close()
            raise

    def _failure(self, request: Request, what: str) -> NotSent | OutcomeUnknown:
        host = self._transport.host.name
        if self._flight.touched:
            return OutcomeUnknown(
                f"no answer from {host} to {request.method} {request.path}: {what}", hint="run `oms reconcile`"
            )
        objection = self._flight.objection
        if objection:
            kind = ClaimTooOld if objection.startswith(_CLAIM_AGE) else Objected
            return kind(f"not sent to {host}: {objection}")
        return NotSent(f"not sent to {host}: {what}", hint="check the network connection")


def _headers(request: Request) -> dict[str, str]:
    headers = {
        "User-Agent": f"oms/{oms.__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip" if request.method == "GET" else "identity",
    }
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        headers["Content-Length"] = str(len(request.body))
    return headers


class _Adapter(HTTPAdapter):
    """requests' adapter on our one pool: no proxy, no CA or netrc of the environment, no cookies, no retries."""

    def __init__(self, pool: HTTPConnectionPool) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._pool = pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to set: the pool's TLS context verifies, and no argument can turn that off."""
        assert verify is True
        assert cert is None

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        assert not proxies
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        """Only the raw answer is used; cookies, encodings and the request (with its signature) stay out of it."""
        response = requests.Response()
        response.raw = resp
        return response

    def close(self) -> None:
        # urllib3 forbids a closed pool; emptying it closes the connection and keeps the pool usable.
        held = self._pool.pool
        while held is not None and not held.empty():
            connection = held.get_nowait()
            if connection is not None:
                connection.close()
        if held is not None:
            held.put_nowait(None)


def _never() -> str:
    return ""


def _no_objection(_request: Request) -> str:
    return ""


def _read_body(raw: Any, max_bytes: int) -> bytes:
    """The whole body, gzip undone; ValueError when it is larger than `max_bytes` before or after."""
    chunks: list[bytes] = []
    size = 0
    while chunk := raw.read(65536, decode_content=False):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ValueError(f"the answer is larger than {max_bytes} bytes")
    body = b"".join(chunks)
    encoding = raw.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity" or not body:
        return body
    if encoding != "gzip":
        raise ValueError(f"the answer is encoded in a way that was not asked for: {encoding[:20]!r}")
    inflater = zlib.decompressobj(31)
    plain = inflater.decompress(body, max_bytes)
    if not inflater.eof:
        raise ValueError(f"the answer's gzip is cut off or larger than {max_bytes} bytes")
    return plain


def describe(exc: Exception) -> str:
    """What went wrong in words of ours: class names and system error texts only, never a URL, header or body."""
    parts: list[str] = []
    seen: BaseException | None = exc
    for _ in range(8):
        if seen is None:
            break
        if isinstance(seen, TimeoutError):
            return NOT_RESOLVED if str(seen) == NOT_RESOLVED else DEADLINE_PASSED
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate cannot be trusted ({seen.verify_message})"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed ({seen.reason or 'cut off'})"
        if isinstance(seen, OSError) and type(seen).__module__ == "builtins":
            return (seen.strerror or str(seen) or type(seen).__name__)[:200]
        parts.append(type(seen).__name__)
        seen = seen.__cause__ or seen.__context__
    if isinstance(exc, ValueError) and str(exc).startswith("the answer"):
        return str(exc)
    return parts[-1] if parts else "failed"


_HEADER_ECHO = re.compile(rb"(?i)(KALSHI-ACCESS-[A-Z]+)([\"']?\s*[:=]\s*[\"']?)[^\s\"'<,}]+")


def _scrubbed(answer: Answer, headers: dict[str, str]) -> Answer:
    """The answer without our signature: an error page may echo the request, and its body goes into the ledger."""
    signature = headers.get(ACCESS_SIGNATURE, "").encode()
    body = answer.body.replace(signature, b"[scrubbed]") if signature else answer.body
    if answer.status >= 300:
        body = _HEADER_ECHO.sub(rb"\1\2[scrubbed]", body)
    return answer if body is answer.body else Answer(answer.status, body)
