"""The key and its signatures go to the exchange and nowhere else: no proxy, redirect, log line, message or repr."""

import contextlib
import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from oms.errors import CredentialsError, OmsError, OutcomeUnknown, ReadFailed
from oms.lifecycle.events import AttemptUnknown, encode
from oms.venue.door import Venue
from oms.venue.orders import OrderRequest
from oms.venue.transport import Request

from .certificates import Authority
from .conftest import KEY_ID
from .hostile import Conn, Hostile, Script, answering, hostile, http

Connect = Callable[..., Venue]

YES = {"order_id": "o-1", "client_order_id": "c-1", "fill_count": "0.00", "remaining_count": "1.00", "ts_ms": 5}
POST = Request("POST", "/portfolio/events/orders", body=b"{}")


def create(venue: Venue) -> object:
    return venue.orders.create(venue.channel(), OrderRequest("{}", "c-1", 1), venue.clock.now_ms())


def set_traps(patch: pytest.MonkeyPatch, folder: Path, trap: Hostile) -> None:
    """An environment that would send requests to `trap` if anybody listened to it."""
    proxy = f"http://127.0.0.1:{trap.port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        patch.setenv(name, proxy)
        patch.setenv(name.lower(), proxy)
    patch.delenv("NO_PROXY", raising=False)
    patch.delenv("no_proxy", raising=False)
    (folder / ".netrc").write_text("machine 127.0.0.1 login mallory password netrc-password\n")
    (folder / ".netrc").chmod(0o600)
    patch.setenv("HOME", str(folder))
    patch.setenv("NETRC", str(folder / ".netrc"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        patch.setenv(name, str(folder / "no-such-bundle.pem"))
    patch.setenv("SSLKEYLOGFILE", str(folder / "secrets.log"))


def test_the_environment_changes_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with hostile(answering(http(200, b"trap"))) as trap, hostile(answering(http(201, YES))) as server:
        set_traps(monkeypatch, tmp_path, trap)
        event = create(connect(server.base_url))
        assert getattr(event, "order_id", "") == "o-1"
        assert trap.connections == 0
        [seen] = server.requests
        assert "authorization" not in seen.headers
        assert "proxy-authorization" not in seen.headers


@pytest.mark.fault(58)
def test_tls_trusts_no_bundle_of_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    with hostile(answering(http(201, YES)), authority.server()) as server:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(authority.bundle))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets.log"))
        event = create(connect(server.base_url))
        assert getattr(event, "why", "") == "not_sent"
        assert server.requests == []
    assert not (tmp_path / "secrets.log").exists()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_doubt_and_is_not_followed(connect: Connect, status: int) -> None:
    with hostile(answering(http(201, YES))) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/trade-api/v2/portfolio/events/orders"
        with hostile(answering(http(status, b"", location))) as server:
            venue = connect(server.base_url)
            event = create(venue)
            assert isinstance(event, AttemptUnknown)
            assert event.why == f"http_{status}"
            with pytest.raises(ReadFailed, match=str(status)):
                venue.exchange.status()
        assert elsewhere.connections == 0


def echo(conn: Conn) -> None:
    """Answers with everything that was asked, as a debugging proxy would."""
    while (seen := conn.read_request()) is not None:
        lines = [f"{name.upper()}: {value}" for name, value in seen.headers.items()]
        conn.send(http(502, "\r\n".join(lines).encode()))


def echo_json(conn: Conn) -> None:
    """The same as a JSON error with a code, which is kept as the reason of a refusal."""
    while (seen := conn.read_request()) is not None:
        conn.send(http(400, {"error": {"code": "bad_request", "message": str(seen.headers)}}))


def cut(conn: Conn) -> None:
    conn.read_request()
    conn.send(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{")


@pytest.mark.fault(90)
@pytest.mark.parametrize("script", [echo, echo_json, cut, answering(http(401, b"{}")), answering(b"garbage\r\n\r\n")])
def test_neither_key_nor_signature_is_in_anything_that_comes_back(
    connect: Connect, script: Script, pem: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with hostile(script) as server:
        venue = connect(server.base_url)
        event = create(venue)
        said = [repr(event), repr(venue.transport), repr(venue.channel()), repr(POST)]
        for ask in (venue.account.balance, lambda: venue.account.get_order("x"), venue.exchange.status):
            try:
                ask()
            except OmsError as exc:
                said += ["".join(traceback.format_exception(exc)), repr(exc), exc.hint, *frames(exc)]
        with contextlib.suppress(OmsError):
            said += [repr(venue.channel().write(POST, venue.clock.now_ms()))]
    said += [record.getMessage() for record in caplog.records] + [encode(event)]  # type: ignore[arg-type]
    signatures = [seen.headers["kalshi-access-signature"] for seen in server.requests]
    assert len(signatures) >= 3
    text = "\n".join(said)
    for secret in [*signatures, *[each[:60] for each in signatures], pem.decode().splitlines()[3]]:
        assert secret not in text


def test_what_went_wrong_below_is_not_chained(connect: Connect) -> None:
    with hostile(cut) as server:
        venue = connect(server.base_url)
        with pytest.raises(OutcomeUnknown) as caught:
            venue.channel().write(POST, venue.clock.now_ms())
    assert caught.value.__context__ is None
    [seen] = server.requests
    assert seen.headers["kalshi-access-signature"] not in "\n".join(frames(caught.value))


def frames(exc: BaseException) -> list[str]:
    """The local variables that a talkative crash report would print."""
    found: list[str] = []
    trace = exc.__traceback__
    while trace is not None:
        if "/oms/" in trace.tb_frame.f_code.co_filename:
            found += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    return found


def test_without_a_key_nothing_private_is_asked(connect: Connect) -> None:
    status = {"exchange_active": True, "trading_active": True}
    with hostile(answering(http(200, status))) as server:
        venue = connect(server.base_url, key=None)
        assert venue.exchange.status().trading_active
        assert "kalshi-access-key" not in server.requests[0].headers
        with pytest.raises(CredentialsError, match="needs an API key"):
            venue.account.balance()
        with pytest.raises(AssertionError):
            venue.channel().write(POST, venue.clock.now_ms())
        assert len(server.requests) == 1


def test_the_key_id_is_masked_in_the_transport(connect: Connect) -> None:
    assert KEY_ID not in repr(connect("https://127.0.0.1:9/trade-api/v2").transport)
