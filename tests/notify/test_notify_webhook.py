"""The webhook's client: one POST, nothing else, and its address in nobody's mouth."""

import logging
import time
from collections.abc import Callable

import pytest

from oms.config.hooks import EVENTS, shown, webhook
from oms.config.values import BadValue
from oms.venue.webhook import Webhook
from tests.notify.conftest import Address


def test_it_posts_json_to_the_whole_address_once(address: Address) -> None:
    assert Webhook(address.url).post(b'{"a":1}', 5) == ""
    ((path, headers, body),) = address.requests
    assert (path, body) == (f"/hook/{Address.SECRET}?key={Address.SECRET}", b'{"a":1}')
    assert headers["Content-Type"] == "application/json"
    assert not [name for name in headers if name.upper().startswith(("KALSHI", "AUTHORIZATION", "COOKIE"))]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 301, 302, 307])
def test_anything_but_2xx_is_a_failure_and_no_redirect_is_followed(address: Address, status: int) -> None:
    address.status = status
    address.headers = {"Location": f"http://127.0.0.1:{address.port}/elsewhere"}
    assert Webhook(address.url).post(b"{}", 5) == f"the webhook at 127.0.0.1 answered {status}"
    assert [path for path, *_ in address.requests] == [f"/hook/{Address.SECRET}?key={Address.SECRET}"]


def test_proxies_of_the_environment_are_not_asked(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Webhook(address.url).post(b"{}", 5) == ""


def hang(address: Address) -> None:
    address.hangs.clear()


def nonsense(address: Address) -> None:
    address.raw = b"SSH-2.0-nothing\r\n"


def bad_header(address: Address) -> None:
    address.raw = b"HTTP/1.1 500 Oh\r\nnot a header\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("goes_wrong", [hang, nonsense, bad_header])
def test_whatever_goes_wrong_is_said_in_time_and_without_the_address(
    address: Address, goes_wrong: Callable[[Address], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    goes_wrong(address)
    began = time.monotonic()
    problem = Webhook(address.url).post(b"{}", 0.5)
    assert time.monotonic() - began < 5
    assert problem.startswith("the webhook at 127.0.0.1 ")
    assert Address.SECRET not in problem + caplog.text


def test_nobody_there_is_said_so(address: Address) -> None:
    address.server.shutdown()
    address.server.server_close()
    assert Webhook(address.url).post(b"{}", 5) == "the webhook at 127.0.0.1 gave no answer: Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "https://user:word@hooks.example/x",
        "https://hooks.example/x#part",
        "https://hooks.example:0/x",
        "https://hooks.example/a b",
        "ftp://hooks.example/x",
        "//hooks.example/x",
        "https:///x",
        "http://127.0.0.1.evil.example/x",
        "http://2130706433/x",
        "https://hooks.example\\@evil/x",
    ],
)
def test_an_address_in_clear_text_or_with_more_than_one_reading_is_refused(url: str) -> None:
    with pytest.raises(BadValue):
        webhook(url, False)


@pytest.mark.parametrize(
    "url", ["https://hooks.example/T0/x?y=1", "http://127.0.0.1:80/x", "http://[::1]:8080/", "http://localhost/x"]
)
def test_https_and_loopback_are_taken_and_shown_by_their_host_alone(url: str) -> None:
    assert webhook(url, False) == url
    host = url.split("/")[2].rpartition(":")[0] if url.split("/")[2][-1].isdigit() else url.split("/")[2]
    assert shown(url) == f"{url.split(':')[0]}://{host}/****"


def test_the_kinds_of_events_are_those_that_messages_know() -> None:
    from oms.app.notify.messages import _MOVES

    assert set(EVENTS) == {*_MOVES, "filled", "halt", "break"}
