"""Where each environment may send orders to: a closed set of hosts, and loopback for tests. PURE.

The hosts are those of Kalshi's own documentation of its API environments: a dedicated and a shared one each; demo and
production differ in the top level domain too (.co, .com). A URL is matched as a whole and compared part by part,
never by its beginning, so that no look-alike of a host can receive a signed order.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from oms.config.values import BadValue, Reader

PATH = "/trade-api/v2"  # part of the signed text, so it cannot differ

# The first of each is the default.
HOSTS: dict[str, tuple[str, ...]] = {
    "sandbox": (),
    "demo": ("external-api.demo.kalshi.co", "demo-api.kalshi.co"),
    "prod": ("external-api.kalshi.com", "api.elections.kalshi.com"),
}

# The whole grammar: no user, no query, no escapes, no other path, nothing that two parsers could read differently.
_URL = re.compile(
    r"(?i:(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[0-9a-z.-]+)(?::(?P<port>[0-9]{1,5}))?)" + f"{PATH}/?", re.ASCII
)


def default_base_url(environment: str) -> str:
    """The exchange's own address; "" for the sandbox, which is started as a child and says where it listens."""
    hosts = HOSTS[environment]
    return f"https://{hosts[0]}{PATH}" if hosts else ""


def is_loopback(base_url: str) -> bool:
    """Whether an accepted base_url stays on this machine."""
    match = _URL.fullmatch(base_url)
    return match is not None and loopback_literal(match["host"]) is not None


def base_url_reader(environment: str) -> Reader:
    """A reader of one environment's base_url; it returns the one spelling we use, without a final slash.

    http:// only to a loopback literal (127.0.0.0/8, [::1]; localhost is taken for 127.0.0.1), https:// to this
    environment's hosts and loopback; never loopback for prod.
    """

    def read(value: object, is_text: bool) -> str:
        if not isinstance(value, str):
            raise _expected(environment)
        return value and _checked(environment, value)

    return read


def _checked(environment: str, given: str) -> str:
    match = _URL.fullmatch(given)
    if match is None:
        raise _expected(environment)
    scheme, host, port = match["scheme"].lower(), match["host"].lower(), match["port"]
    if port is not None and not 1 <= int(port) <= 65535:
        raise _expected(environment)
    loopback = loopback_literal(host)
    if loopback is not None and environment != "prod":
        return f"{scheme}://{loopback}{'' if port is None else f':{int(port)}'}{PATH}"
    if host in HOSTS[environment] and scheme == "https" and (port is None or int(port) == 443):
        return f"https://{host}{PATH}"
    raise _expected(environment, f" ({_why_not(environment, host, loopback)})")


def loopback_literal(host: str) -> str | None:
    """The literal of a loopback host, in the form a URL has it; None for any other host."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if host.startswith("["):
            return "[::1]" if IPv6Address(host[1:-1]) == IPv6Address("::1") else None
        return host if IPv4Address(host).is_loopback else None
    except AddressValueError:
        return None


def _why_not(environment: str, host: str, loopback: str | None) -> str:
    if loopback is not None:
        return "prod never sends to loopback"
    for other, hosts in HOSTS.items():
        if host in hosts:
            return f"{host} is of {other}" if other != environment else "https only, and no other port"
    return f"{host} is not one of its hosts"


def _expected(environment: str, why: str = "") -> BadValue:
    allowed = [f"https://{host}{PATH}" for host in HOSTS[environment]]
    if environment != "prod":
        allowed.append(f"http://127.0.0.1:PORT{PATH}")
    return BadValue(" or ".join(allowed) + why)
