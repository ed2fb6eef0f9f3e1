"""Base URLs: what may be sent to."""

import pytest

from oms.errors import ConfigError
from oms.venue.hosts import Host, parse_base_url


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (
            "https://external-api.kalshi.com/trade-api/v2",
            Host("https", "external-api.kalshi.com", 443, "/trade-api/v2"),
        ),
        ("https://demo-api.kalshi.co/trade-api/v2/", Host("https", "demo-api.kalshi.co", 443, "/trade-api/v2")),
        ("http://127.0.0.1:8080/trade-api/v2", Host("http", "127.0.0.1", 8080, "/trade-api/v2")),
        ("http://127.8.9.1/x", Host("http", "127.8.9.1", 80, "/x")),
        ("http://[::1]:9/trade-api/v2", Host("http", "::1", 9, "/trade-api/v2")),
        ("https://[::1]:9", Host("https", "::1", 9, "")),
    ],
)
def test_a_base_url_comes_apart(url: str, host: Host) -> None:
    assert parse_base_url(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kalshi.com/trade-api/v2",
        "ftp://kalshi.com/x",
        "http://kalshi.com/trade-api/v2",
        "http://localhost:8080/trade-api/v2",
        "http://127.0.0.1.evil.com/x",
        "http://0.0.0.0/x",
        "http://[::ffff:1.2.3.4]/x",
        "http://169.254.169.254/x",
        "https://user:secret@kalshi.com/x",
        "https://user@kalshi.com/x",
        "https://kalshi.com/x?next=1",
        "https://kalshi.com/x#top",
        "https://kalshi.com:99999/x",
        "https://kalshi.com:port/x",
        "https:///x",
        "https://käl.com/x",
        "https://kalshi.com/a b",
        "https://kalshi.com/a\r\nHost: evil",
    ],
)
def test_a_url_that_could_leak_a_signature_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_base_url(url)
    assert "secret" not in str(caught.value)
